/** Question a: a reference and its index from nothing. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { EMBEDDINGS, INDEX } from '../collection.js';
import { inTurn, type Program, runQuietly } from '../measure.js';
import { type Answer, type Context, type Question, rowOf } from '../question.js';
import { measureRecall, type Recall } from '../recall.js';
import { atLeast, atMost, fraction, mebibytes, share } from '../verdict.js';

const PEER = 'numpy + faiss';

export const question: Question = {
  id: 'a',
  title: 'A reference and an IVF index from nothing',
  goal: 'a quarter of the time of a Python script, 512 MiB, and recall@10 of at least 0.95 on rows held out',
  method: `40 runs of 25,000 x 256 float32 (1.0 GB). \`firn build\` (rules consolidate and index, no cache) against
\`bench/peers/reference.py\`, which stacks the runs with numpy, saves the array and the metadata, and trains and fills an
IndexIVFFlat of FAISS. The recall is measured by FAISS in Python on both index files at the nprobe that each stores: on
1000 rows of the collection, each without itself, and on 1000 fresh rows of the same clusters that are in neither.`,
  async run(context) {
    const { collection, repeats } = context;
    await collection.prepare();
    const programs: Program[] = [collection.firnFromNothing()];
    const withPeer = context.has('faiss');
    if (withPeer) programs.push(collection.peerFromNothing());
    const [firn, peer] = await inTurn(programs, repeats);
    collection.fromNothing = firn;
    const recalls = withPeer ? await recallOf(context) : [];
    const rows = [rowOf('firn', firn, { figures: figures(recalls[0]) })];
    if (peer !== undefined) rows.push(rowOf(PEER, peer, { figures: figures(recalls[1]) }));
    return {
      rows,
      verdicts: [
        atMost(
          `time, as a share of that of ${PEER}`,
          peer && firn.seconds.median / peer.seconds.median,
          0.25,
          share,
        ),
        atMost('memory', firn.memory?.max, 512, mebibytes),
        atLeast('recall@10 on rows held out', recalls[0]?.heldOut, 0.95, fraction),
      ],
      notes: withPeer ? await notesOf(context) : [],
    } satisfies Answer;
  },
};

function recallOf(context: Context): Promise<Recall[]> {
  const { recallQueries: each } = context.sizes;
  const { reference, peerReference } = context.collection;
  const indexes = [reference, peerReference].map((folder) => join(folder, INDEX));
  return measureRecall(context, join(reference, EMBEDDINGS), indexes, { rows: each, heldOut: each });
}

function figures(recall: Recall | undefined): { [title: string]: string } {
  if (recall === undefined) return {};
  return {
    'lists, nprobe': `${recall.nlist}, ${recall.nprobe}`,
    'recall, rows': fraction(recall.rows ?? Number.NaN),
    'recall, held out': fraction(recall.heldOut),
  };
}

async function notesOf({ collection }: Context): Promise<string[]> {
  const arrays = [collection.reference, collection.peerReference].map((folder) => join(folder, EMBEDDINGS));
  await runQuietly(['cmp', ...arrays], collection.project);
  const gigabytes = (statSync(arrays[0]).size / 1e9).toFixed(2);
  return [`Both arrays hold the same bytes (${gigabytes} GB).`];
}
