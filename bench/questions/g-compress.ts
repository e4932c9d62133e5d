/** Question g: compressing a run. */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createNpy } from '../../src/arrays/npy-writer.js';
import { disk } from '../../src/files/disk.js';
import { createEmbedder } from '../../src/sequences/embedder.js';
import { readSequences } from '../../src/sequences/read.js';
import { inTurn, type Measured, type Program, runQuietly, settleMachine } from '../measure.js';
import { peer, REPOSITORY, worker } from '../programs.js';
import { type Context, type Question, type Row, rowOf } from '../question.js';
import { spreadOf } from '../spread.js';
import { atLeast, atMost, duration, megabytes, share, times } from '../verdict.js';

const PEER = 'savez_compressed';

export const question: Question = {
  id: 'g',
  title: 'Compressing a run',
  goal: 'six times as fast as numpy, and no larger',
  method: `An npy file to an npz file of the same values: the writer behind firn's rule compress against
\`numpy.savez_compressed\`. Once a run of 25,000 x 256 of the collection, and once the k-mer embeddings (k = 4) of the
sequences in \`sequences/\`, whose values repeat. The times are taken inside, with reading. Neither waits for
the disk: a build syncs the file when it commits.`,
  async run(context) {
    const folder = context.folder('compress');
    const generated = await measure(context, folder, 'embeddings', await context.data.run(0));
    const kmers = await measure(context, folder, 'k-mer embeddings', await kmerArray(folder));
    return {
      rows: [...generated.rows, ...kmers.rows],
      verdicts: [
        atLeast(`embeddings: speed, beside ${PEER}`, generated.speed, 6, times),
        atMost(`embeddings: size, as a share of that of ${PEER}`, generated.size, 1, share),
      ],
      notes: [],
    };
  },
};

interface Compared {
  rows: Row[];
  /** Undefined without numpy. */
  speed: number | undefined;
  size: number | undefined;
}

async function measure(context: Context, folder: string, group: string, array: string): Promise<Compared> {
  const outs = ['firn.npz', 'peer.npz'].map((name) => join(folder, name));
  const program = (argv: string[], out: string): Program => ({
    argv: [...argv, array, out],
    cwd: folder,
    prepare: () => {
      rmSync(out, { force: true });
      settleMachine();
    },
  });
  const programs = [program(worker('compress'), outs[0])];
  if (context.has('numpy')) programs.push(program([context.python, peer('compress.py')], outs[1]));
  const measured = await inTurn(programs, context.repeats);
  const bytes = measured.map((_, i) => statSync(outs[i]).size);
  if (bytes.length > 1) await expectSameValues(context, array, outs[0]);
  const original = statSync(array).size;
  const rows = measured.map((one, i) =>
    rowFor(['firn', PEER][i], group, one, `${megabytes(bytes[i])} of ${megabytes(original)}`),
  );
  const [ours, theirs] = rows.map(({ seconds }) => seconds.median);
  return { rows, speed: theirs && theirs / ours, size: bytes.length > 1 ? bytes[0] / bytes[1] : undefined };
}

function rowFor(who: string, group: string, measured: Measured, size: string): Row {
  const seconds = measured.outputs.map((text) => (JSON.parse(text) as { seconds: number }).seconds);
  const figures = { size, 'whole process': duration(measured.seconds.median) };
  return rowOf(who, measured, { group, seconds: spreadOf(seconds), figures });
}

/** Numpy reads firn's copy. */
async function expectSameValues({ python }: Context, array: string, npz: string): Promise<void> {
  const script =
    'import sys, numpy as np; assert np.load(sys.argv[1]).tobytes() == np.load(sys.argv[2])["embeddings"].tobytes()';
  await runQuietly([python, '-c', script, array, npz], REPOSITORY);
}

/** The example's sequences as firn embeds them. */
async function kmerArray(folder: string): Promise<string> {
  const sequences = join(REPOSITORY, 'sequences');
  const embedder = createEmbedder('kmer');
  const names = readdirSync(sequences, { recursive: true, encoding: 'utf8' }).sort();
  mkdirSync(join(folder, 'kmer'));
  const path = join(folder, 'kmer', 'embeddings.npy');
  const writer = await createNpy(disk, path, { dtype: 'f4', dims: embedder.dims });
  for (const name of names.filter((one) => one.endsWith('.fasta.gz'))) {
    for await (const { sequence } of readSequences(disk, join(sequences, name))) {
      const vector = embedder.embed(sequence);
      if (vector !== undefined) await writer.write(new Uint8Array(vector.buffer));
    }
  }
  await writer.finish();
  return path;
}
