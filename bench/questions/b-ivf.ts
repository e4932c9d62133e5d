/** Question b: training and filling one and the same kind of index. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { EMBEDDINGS } from '../collection.js';
import { inTurn, type Measured, type Program, settleMachine } from '../measure.js';
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
index counts. The recall@10 at equal nprobe is that on 4,000 fresh rows, as held out in (a): with fewer,
chance alone would make a difference of 0.005.`,
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
        settleMachine();
      },
    });
    const programs = [program(worker('ivf'), files[0])];
    const withPeer = context.has('faiss');
    if (withPeer) programs.push(program([python, peer('ivf.py')], files[1]));
    const [firn, faiss] = await inTurn(programs, repeats);
    const asked = { rows: 0, heldOut: 4 * sizes.recallQueries, nprobes: sizes.nprobes };
    const recalls = withPeer ? await measureRecall(context, array, files, asked) : [];
    const rows = [rowFor('firn', firn, recallsOf(recalls, files[0]))];
    if (faiss !== undefined) rows.push(rowFor('faiss', faiss, recallsOf(recalls, files[1])));
    const ratio = rows.length > 1 ? rows[0].seconds.median / rows[1].seconds.median : undefined;
    const apart = differences(recalls, files);
    const largest = withPeer ? Math.max(...apart.map(Math.abs)) : undefined;
    return {
      rows,
      verdicts: [
        atMost('train and add, as a share of the time of faiss', ratio, 0.5, share),
        atMost('difference in recall at any nprobe', largest, 0.005, fraction),
      ],
      notes: [trainingNote(timesOf(firn)[0], context), ...(withPeer ? [recallNote(apart)] : [])],
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

/** By how much firn's recall is above FAISS's, at each nprobe. */
function differences(recalls: Recall[], files: string[]): number[] {
  const [ours, theirs] = files.map((file) => recallsOf(recalls, file));
  return ours.map(({ heldOut }, i) => heldOut - theirs[i].heldOut);
}

/** Both sides have to be trained alike, or the comparison says nothing. */
function trainingNote({ trainingRows }: Times, { sizes }: Context): string {
  const wanted = sizes.nlist * sizes.trainingRowsPerList;
  if (trainingRows === wanted) return `Both were trained on ${wanted} rows.`;
  return `**Not alike**: firn was trained on ${trainingRows} rows, FAISS on ${wanted}.`;
}

function recallNote(apart: number[]): string {
  const show = (value: number): string => fraction(Math.max(0, value));
  const below = show(Math.max(...apart.map((difference) => -difference)));
  return `Firn's recall is at most ${show(Math.max(...apart))} above and at most ${below} below that of FAISS.`;
}
