/** Question h: digests of a collection that firn has never seen. */

import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Collection } from '../collection.js';
import { runsOf } from '../data.js';
import { runName } from '../generate.js';
import { type Measured, type Program, shortInTurn } from '../measure.js';
import { worker } from '../programs.js';
import { type Context, type Question, rowOf } from '../question.js';
import { type Spread, spreadOf } from '../spread.js';
import { atLeast, megabytes, share } from '../verdict.js';

export const question: Question = {
  id: 'h',
  title: 'Digests of 1 GB',
  goal: '80 % of the speed of openssl on all cores',
  method: `The digest of every one of the 40 runs of (a) as a build takes it, in one process whose time is taken inside, with
the start of its threads and without that of Node.js. Beside it \`openssl dgst -sha256\` of the same files, as one process
and, spread by \`xargs -P\`, on all cores. The files are in the page cache. One run of each to warm up.`,
  async run(context) {
    const { data, sizes, python, repeats } = context;
    const fresh = new Collection(data, sizes.runs, python, 'never-built');
    fresh.remove();
    await fresh.prepare();
    try {
      const files = Array.from({ length: sizes.runs }, (_, run) =>
        join(runsOf(fresh.project), runName(run), 'embeddings.npy'),
      );
      const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
      const programs = programsFor(context, fresh.project, files);
      const measured = await shortInTurn(
        programs.map(({ argv }): Program => ({ argv, cwd: fresh.project })),
        repeats,
      );
      const rows = programs.map(({ group, who }, i) =>
        rowOf(who, measured[i], {
          group,
          seconds: secondsOf(who, measured[i]),
          figures: { speed: `${megabytes(bytes / secondsOf(who, measured[i]).median)}/s` },
        }),
      );
      const [ours, theirs] = rows.filter(({ group }) => group === ALL);
      return {
        rows,
        verdicts: [
          atLeast(
            'speed, as a share of that of openssl on all cores',
            theirs && theirs.seconds.median / ours.seconds.median,
            0.8,
            share,
          ),
        ],
        notes: [],
      };
    } finally {
      fresh.remove();
    }
  },
};

/** Firn says its own. */
function secondsOf(who: string, { outputs, seconds }: Measured): Spread {
  if (who !== 'firn') return seconds;
  return spreadOf(outputs.map((text) => (JSON.parse(text) as { seconds: number }).seconds));
}

const ALL = 'all cores';
const ONE = 'one core';

function programsFor(
  context: Context,
  project: string,
  files: string[],
): { group: string; who: string; argv: string[] }[] {
  const threads = availableParallelism();
  const digest = (count: number): string[] => [...worker('digest'), runsOf(project), String(count)];
  const programs = [{ group: ALL, who: 'firn', argv: digest(threads) }];
  if (context.has('openssl')) {
    const spread = 'find "$2" -name embeddings.npy -print0 | xargs -0 -P "$1" -n 4 openssl dgst -sha256';
    const argv = ['sh', '-c', spread, 'sh', String(threads), runsOf(project)];
    programs.push({ group: ALL, who: 'openssl', argv });
  }
  if (context.has('taskset')) {
    programs.push({ group: ONE, who: 'firn', argv: ['taskset', '-c', '0', ...digest(1)] });
    if (context.has('openssl')) {
      const argv = ['taskset', '-c', '0', 'openssl', 'dgst', '-sha256', ...files];
      programs.push({ group: ONE, who: 'openssl', argv });
    }
  }
  return programs;
}
