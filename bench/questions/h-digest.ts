/** Question h: digests of a collection that firn has never seen. */

import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Collection } from '../collection.js';
import { runsOf } from '../data.js';
import { runName } from '../generate.js';
import { type Program, shortInTurn } from '../measure.js';
import { firn } from '../programs.js';
import { type Context, type Question, rowOf } from '../question.js';
import { atLeast, megabytes, share } from '../verdict.js';

export const question: Question = {
  id: 'h',
  title: 'Digests of 1 GB',
  goal: '80 % of the speed of openssl on all cores',
  method: `The first \`firn build --dry-run\` in a project with the 40 runs of (a): it computes the SHA-256 of every run, plans,
and writes nothing, so the next one does the same again. Beside it \`openssl dgst -sha256\` of the same files, as one
process and, spread by \`xargs -P\`, on all cores. Firn's time is that of the whole program with the start of Node.js. The
files are in the page cache. One run of each to warm up.`,
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
          figures: { speed: `${megabytes(bytes / measured[i].seconds.median)}/s` },
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

const ALL = 'all cores';
const ONE = 'one core';

function programsFor(
  context: Context,
  project: string,
  files: string[],
): { group: string; who: string; argv: string[] }[] {
  const dryRun = firn('build', '--dry-run');
  const programs = [{ group: ALL, who: 'firn', argv: dryRun }];
  if (context.has('openssl')) {
    const spread = 'find "$2" -name embeddings.npy -print0 | xargs -0 -P "$1" -n 4 openssl dgst -sha256';
    const argv = ['sh', '-c', spread, 'sh', String(availableParallelism()), runsOf(project)];
    programs.push({ group: ALL, who: 'openssl', argv });
  }
  if (context.has('taskset')) {
    programs.push({ group: ONE, who: 'firn', argv: ['taskset', '-c', '0', ...dryRun] });
    if (context.has('openssl')) {
      const argv = ['taskset', '-c', '0', 'openssl', 'dgst', '-sha256', ...files];
      programs.push({ group: ONE, who: 'openssl', argv });
    }
  }
  return programs;
}
