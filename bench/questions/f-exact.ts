/** Question f: many exact searches. */
import { join } from 'node:path';
import { EMBEDDINGS } from '../collection.js';
import { inTurn, type Measured, type Program, runQuietly } from '../measure.js';
import { peer, worker } from '../programs.js';
import { type Context, type Question, type Row, rowOf } from '../question.js';
import { spreadOf } from '../spread.js';
import { atMost, below, duration, mebibytes, share } from '../verdict.js';

export const question: Question = {
  id: 'f',
  title: '10,000 exact searches',
  goal: 'faster than FAISS, the same answers, and memory that does not hold the array',
  method: `The ten nearest rows of the array of (a) to each of 10,000 fresh rows, compared with every row: firn's library
(\`exactSearch\`) against IndexFlatL2 of FAISS, one process each, three runs. The times are taken inside. Firn's includes
reading the array from its file; FAISS has it in memory, and only its search counts, not adding the rows. The ids must be
equal; where they differ, the two distances are computed in double precision and must be a tie within the rounding of
float32.`,
  async run(context) {
    const { collection, data, python, sizes, repeats } = context;
    await collection.build();
    const folder = context.folder('exact');
    const array = join(collection.reference, EMBEDDINGS);
    const queries = await data.heldOut(sizes.exactQueries);
    const answers = ['firn.f8', 'peer.f8'].map((name) => join(folder, name));
    const programs: Program[] = [{ argv: worker('exact', array, queries, answers[0]), cwd: folder }];
    const withPeer = context.has('faiss');
    if (withPeer) {
      programs.push({ argv: [python, peer('exact.py'), array, queries, answers[1]], cwd: folder });
    }
    const [ours, theirs] = await inTurn(programs, Math.min(repeats, sizes.exactRepeats));
    const rows = [rowFor('firn', ours)];
    if (theirs !== undefined) rows.push(rowFor('faiss', theirs));
    const same = withPeer ? await compare(context, array, queries, answers) : undefined;
    const ratio = rows.length > 1 ? rows[0].seconds.median / rows[1].seconds.median : undefined;
    return {
      rows,
      verdicts: [
        below('time, as a share of that of faiss', ratio, 1, share),
        atMost('answers that differ and are no tie', same?.wrong, 0, String),
        atMost('memory', ours.memory?.max, 512, mebibytes),
      ],
      notes: same === undefined ? [] : [noteOf(same)],
    };
  },
};

function rowFor(who: string, measured: Measured): Row {
  const seconds = spreadOf(measured.outputs.map((text) => (JSON.parse(text) as { search: number }).search));
  return rowOf(who, measured, {
    seconds,
    figures: { 'whole process': duration(measured.seconds.median) },
  });
}

interface Same {
  places: number;
  different: number;
  wrong: number;
  worst: number;
}

async function compare(
  { python, data }: Context,
  array: string,
  queries: string,
  answers: string[],
): Promise<Same> {
  const argv = [python, peer('same.py'), array, queries, ...answers];
  return JSON.parse(await runQuietly(argv, data.directory)) as Same;
}

function noteOf({ places, different, worst }: Same): string {
  if (different === 0) return `All ${places} ids are equal.`;
  return `Of ${places} ids, ${different} differ; their distances are at most ${worst.toExponential(1)} apart.`;
}
