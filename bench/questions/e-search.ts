/** Question e: one search by a program that has just been started. */
import { runName } from '../generate.js';
import { type Program, shortInTurn } from '../measure.js';
import { firn, peer } from '../programs.js';
import { type Question, rowOf } from '../question.js';
import { atMost, mebibytes, share } from '../verdict.js';

const PEER = 'numpy + faiss';
const RUN = 7;
const ROW = 123;

export const question: Question = {
  id: 'e',
  title: 'One search, from the start of the program',
  goal: 'a fifteenth of the time of a Python script, and 150 MiB',
  method: `The ten nearest to one row of the collection of (a): \`firn search --run bench/run-00007 --seq-idx 123\` against
\`bench/peers/search.py\`, which loads the array, the metadata and the index, and asks the index. Each asks the index it
built in (a), at the nprobe that is stored in it: FAISS looks into one list, firn into as many as a recall of 0.95 needs.
Nothing is dropped from the page cache: the files are in memory for both. One run of each to warm up.`,
  async run(context) {
    const { collection, python, sizes, repeats } = context;
    const run = Math.min(RUN, sizes.runs - 1);
    await collection.build();
    const ask = ['search', '--run', runName(run), '--seq-idx', String(ROW), '--top-k', '10'];
    const programs: Program[] = [{ argv: firn(...ask), cwd: collection.project }];
    if (context.has('faiss')) {
      await collection.buildPeer();
      const row = String(run * sizes.rows + ROW);
      programs.push({
        argv: [python, peer('search.py'), collection.peerReference, row],
        cwd: collection.project,
      });
    }
    const [ours, theirs] = await shortInTurn(programs, repeats);
    const rows = [rowOf('firn', ours)];
    if (theirs !== undefined) rows.push(rowOf(PEER, theirs));
    return {
      rows,
      verdicts: [
        atMost(
          `time, as a share of that of ${PEER}`,
          theirs && ours.seconds.median / theirs.seconds.median,
          1 / 15,
          share,
        ),
        atMost('memory', ours.memory?.max, 150, mebibytes),
      ],
      notes: [],
    };
  },
};
