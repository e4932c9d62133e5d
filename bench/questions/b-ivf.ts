/** Question b: training and filling one and the same kind of index. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { EMBEDDINGS } from '../collection.js';
import { inTurn, type Measured, type Program, syncDisk } from '../measure.js';
import { peer, worker } from '../programs.js';
import { type Context, type Question, type Row, rowOf } from '../question.js';
import { measureRecall, type Recall } from '../recall.js';
import { spreadOf } from '../spread.js';
import { atMost, duration, fraction, share } from '../verdict.js';

interface Times {
  train: number;
  add: number;
  trainingRows: number;
}

export const question: Question = {
  id: 'b',
  title: 'The same IVF index: train and add',
  goal: 'half the time of FAISS, with the same recall (within 0.005)',
  method: `The array of (a), 1024 lists, squared Euclidean distance, 256 training rows a list, ten iterations; one process
each. The times are taken inside: training, and adding every row. Firn's include reading the array from its file, writing
and syncing the index, and measuring its recall; FAISS has the array in memory, and neither reading it nor writing the
index counts. The recall is that of (a), at equal nprobe.`,
  async run(context) {
    const { collection, python, sizes, repeats } = context;
    await collection.build();
    const folder = context.folder('ivf');
    const array = join(collection.reference, EMBEDDINGS);
    const files = ['firn.faiss', 'peer.faiss'].map((name) => join(folder, name));
    const details = [String(sizes.nlist), String(sizes.trainingRowsPerList)];
    const program = (argv: string[], out: string): Program => ({
      argv: [...argv, array, out, ...details],
      cwd: folder,
      prepare: () => {
        rmSync(out, { force: true });
        syncDisk();
      },
    });
    const programs = [program(worker('ivf'), files[0])];
    const withPeer = context.has('faiss');
    if (withPeer) programs.push(program([python, peer('ivf.py')], files[1]));
    const [firn, faiss] = await inTurn(programs, repeats);
    const recalls = withPeer ? await measureRecall(context, array, files, sizes.nprobes) : [];
    const rows = [rowFor('firn', firn, recallsOf(recalls, files[0]))];
    if (faiss !== undefined) rows.push(rowFor('faiss', faiss, recallsOf(recalls, files[1])));
    const ratio = rows.length > 1 ? rows[0].seconds.median / rows[1].seconds.median : undefined;
    return {
      rows,
      verdicts: [
        atMost('train and add, of faiss', ratio, 0.5, share),
        atMost('recall lost to faiss, at any nprobe', lost(recalls, files), 0.005, fraction),
      ],
      notes: notesOf(timesOf(firn)[0], context),
    };
  },
};

function timesOf({ outputs }: Measured): Times[] {
  return outputs.map((text) => JSON.parse(text) as Times);
}

function recallsOf(recalls: Recall[], file: string): Recall[] {
  return recalls.filter(({ index }) => index === file);
}

function rowFor(who: string, measured: Measured, recalls: Recall[]): Row {
  const times = timesOf(measured);
  const median = (part: 'train' | 'add'): string => duration(spreadOf(times.map((one) => one[part])).median);
  const seconds = spreadOf(times.map(({ train, add }) => train + add));
  const figures: { [title: string]: string } = {
    train: median('train'),
    add: median('add'),
    'whole process': duration(measured.seconds.median),
  };
  for (const { nprobe, heldOut } of recalls) figures[`recall, nprobe ${nprobe}`] = fraction(heldOut);
  return rowOf(who, measured, { seconds, figures });
}

/** The most that firn's recall is below FAISS's, of both kinds of queries; undefined when nothing was measured. */
function lost(recalls: Recall[], files: string[]): number | undefined {
  if (recalls.length === 0) return undefined;
  const [ours, theirs] = files.map((file) => recallsOf(recalls, file));
  return Math.max(
    0,
    ...ours.flatMap((one, i) => [theirs[i].rows - one.rows, theirs[i].heldOut - one.heldOut]),
  );
}

/** Both sides have to be trained alike, or the comparison says nothing. */
function notesOf({ trainingRows }: Times, { sizes }: Context): string[] {
  const wanted = sizes.nlist * sizes.trainingRowsPerList;
  if (trainingRows === wanted) return [`Both were trained on ${wanted} rows.`];
  return [`**Not alike**: firn was trained on ${trainingRows} rows, FAISS on ${wanted}.`];
}
