/** Question c: one more run. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EMBEDDINGS, INDEX, METADATA, settle } from '../collection.js';
import { removeRun } from '../data.js';
import { expectPrinted, inTurn, type Measured, type Program, runQuietly, settleMachine } from '../measure.js';
import { firn } from '../programs.js';
import { type Context, type Question, rowOf } from '../question.js';
import { atMost, share, times } from '../verdict.js';

export const question: Question = {
  id: 'c',
  title: 'One more run',
  goal: 'three times a plain copy of the files that change, and 35 % of a full build',
  method: `A run of 25,000 rows is added to the collection of (a), and \`firn build\` appends it to the reference and the index.
Beside it: \`cp\` of the three files that change (array, index, metadata) on the same disk, the same with \`sync\` of the copy,
since firn leaves nothing unsynced, and a full build from nothing. Before each run the earlier state is put back from a
copy, and a build that finds nothing to do remembers the digests of the files again; that is not measured.`,
  async run(context) {
    const { collection, repeats } = context;
    const full = await fullBuild(context);
    await settle(collection.project);
    const state = await keepState(context);
    const copies = join(context.folder('copies'), 'reference');
    const files = [EMBEDDINGS, INDEX, METADATA].map((name) => join(collection.reference, name));
    const emptied = (): void => {
      rmSync(copies, { recursive: true, force: true });
      mkdirSync(copies);
      settleMachine();
    };
    const copy = ['cp', ...files, copies];
    const synced = ['sh', '-c', 'cp "$@" && for last; do :; done && sync "$last"/*', 'sh', ...files, copies];
    const programs: Program[] = [
      { argv: firn('build', '--json'), cwd: collection.project, prepare: state.addRun },
      { argv: copy, cwd: collection.project, prepare: emptied },
      { argv: synced, cwd: collection.project, prepare: emptied },
    ];
    const [appended, copied, copiedAndSynced] = await inTurn(programs, repeats);
    expectPrinted(appended, '"ran": 2');
    await state.restore();
    const rows = [
      rowOf('firn', appended, { figures: steps(appended) }),
      rowOf('cp', copied),
      rowOf('cp and sync', copiedAndSynced),
      rowOf('firn, from nothing', full, { figures: steps(full) }),
    ];
    return {
      rows,
      verdicts: [
        atMost('time, beside cp', appended.seconds.median / copied.seconds.median, 3, times),
        atMost(
          'time, as a share of a full build',
          appended.seconds.median / full.seconds.median,
          0.35,
          share,
        ),
      ],
      notes: [],
    };
  },
};

/** As (a) measured it, or measured here when (a) was not asked. */
async function fullBuild({ collection, repeats }: Context): Promise<Measured> {
  await collection.prepare();
  if (collection.fromNothing === undefined) {
    [collection.fromNothing] = await inTurn([collection.firnFromNothing()], Math.min(3, repeats));
  }
  return collection.fromNothing;
}

/** The state before the run was added, kept beside the project. */
async function keepState(context: Context): Promise<{ restore(): Promise<void>; addRun(): Promise<void> }> {
  const { collection, data } = context;
  const { project, runs } = collection;
  const kept = context.folder('kept');
  const copyTree = (from: string, to: string): Promise<string> =>
    runQuietly(['cp', '-a', '--reflink=auto', from, to], project);
  for (const name of ['data', 'cache']) await copyTree(join(project, name), kept);
  // Generated before anything is measured.
  await data.run(runs);
  const restore = async (): Promise<void> => {
    removeRun(project, runs);
    collection.forget();
    for (const name of ['data', 'cache']) await copyTree(join(kept, name), project);
    await settle(project);
  };
  const addRun = async (): Promise<void> => {
    await restore();
    await data.addRuns(project, runs, runs + 1);
    settleMachine();
  };
  return { restore, addRun };
}

function steps({ outputs }: Measured): { [title: string]: string } {
  const { steps: all } = JSON.parse(outputs[outputs.length - 1]) as {
    steps: { id: string; seconds: number }[];
  };
  return { steps: all.map(({ id, seconds }) => `${id.split(':')[0]} ${seconds.toFixed(1)} s`).join(', ') };
}
