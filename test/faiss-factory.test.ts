/** Other kinds of index through faiss-node, where its binary is; elsewhere what is said instead. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exactSearch } from '../src/faiss/exact.js';
import { buildWithFactory, searchWithFactory } from '../src/faiss/factory.js';
import { send } from '../src/faiss/factory-process.js';
import { readIndexHeader } from '../src/faiss/header.js';
import { openIndex } from '../src/faiss/search.js';
import { readTrailer } from '../src/faiss/trailer.js';
import { disk } from '../src/files/disk.js';
import { arrayOf, clustered, folder, refused } from './faiss-rig.js';
import { python, pythonLacks } from './rig/python.js';
import { programLacks, testWhere } from './rig/where.js';

const s = suite('faiss factory');
const DIMS = 16;
const values = clustered(1500, DIMS, 1);

const lacks =
  programLacks(process.execPath, '-e', "require('faiss-node')") === undefined
    ? undefined
    : 'faiss-node has no binary here (npm run faiss-node)';

function needsBinary(name: string, run: () => Promise<void>): void {
  testWhere(s, lacks, name, run);
}

async function make(factory: string, options: object = {}, rows = values) {
  const out = join(folder(), 'index.faiss');
  const request = { port: disk, embeddings: arrayOf(rows, DIMS), out, factory, metric: 'l2' as const };
  return { out, report: await buildWithFactory({ ...request, ...options }) };
}

needsBinary('HNSW is built, read back and finds the neighbours', async () => {
  const { out, report } = await make('HNSW32', { trailer: { embeddings: 'abc' } });
  assert.is((await readIndexHeader(disk, out)).kind, 'other');
  assert.ok(report.recall.measured > 0.95, `recall ${report.recall.measured}`);
  assert.is((await readTrailer(disk, out))?.embeddings, 'abc');
  const queries = clustered(20, DIMS, 2);
  const exact = await exactSearch(arrayOf(values, DIMS), queries, 10, 'l2');
  const index = await openIndex(disk, out);
  const found = await index.search(queries, 10);
  let same = 0;
  for (const [query, neighbours] of found.entries()) {
    const ids = new Set(exact[query].map(({ id }) => id));
    same += neighbours.filter(({ id }) => ids.has(id)).length;
  }
  assert.ok(same >= 190, `${same} of 200 neighbours`);
  const refusedIds = new Set(found[0].map(({ id }) => id));
  const [others] = await index.search(queries.subarray(0, DIMS), 10, { accept: (id) => !refusedIds.has(id) });
  assert.is(others.length, 10);
  assert.not(others.some(({ id }) => refusedIds.has(id)));
  assert.is((await index.search(queries.subarray(0, DIMS), 4000))[0].length <= 1500, true);
  await refused(() => index.search(queries, 10, { nprobe: 3 }), 'usage');
  await index.close();
});

needsBinary('two builds give equal bytes', async () => {
  for (const factory of ['HNSW16', 'IVF16,SQ8']) {
    const [one, other] = [await make(factory), await make(factory)];
    assert.ok(readFileSync(one.out).equals(readFileSync(other.out)), factory);
  }
});

needsBinary('an IVF kind stores its nprobe', async () => {
  const { out, report } = await make('IVF64,SQ8');
  assert.is(report.nprobe, 8);
  assert.is(readFileSync(out).readBigUInt64LE(45), 8n);
  const few = (await make('IVF64,SQ8', { nprobe: 1 })).report;
  assert.is(few.nprobe, 1);
  assert.ok(few.recall.measured < report.recall.measured);
});

testWhere(
  s,
  lacks ?? pythonLacks('faiss', 'numpy'),
  'FAISS in Python reads it, trailer and all',
  async () => {
    const { out } = await make('IVF64,PQ4x4');
    const script = `
import faiss, sys
index = faiss.read_index(sys.argv[1])
print(type(index).__name__, index.ntotal, index.nprobe)`;
    assert.is(python(script, out).trim(), 'IndexIVFPQ 1500 8');
  },
);

needsBinary('what FAISS refuses is an error with its words, and nothing is left', async () => {
  for (const [factory, rows] of [
    ['NoSuchKind', 100],
    ['IVF400,Flat', 300],
    ['PQ8', 100],
  ] as const) {
    const out = join(folder(), 'index.faiss');
    const embeddings = arrayOf(values.subarray(0, rows * DIMS), DIMS);
    const run = () => buildWithFactory({ port: disk, embeddings, out, factory, metric: 'l2' });
    const error = await refused(run, 'failed');
    assert.match(error.message, factory);
    assert.ok(error.message.length > 40, error.message);
    assert.equal(readdirSync(dirname(out)), []);
  }
});

needsBinary('a row that is not finite is named before FAISS is trained on it', async () => {
  const bad = values.slice();
  bad[1499 * DIMS + 3] = Number.NaN;
  const error = await refused(() => make('IVF4,Flat', {}, bad), 'input');
  assert.match(error.message, 'row 1499');
});

needsBinary('who stops waiting is not kept by FAISS', async () => {
  const { out } = await make('SQ8', {}, values.subarray(0, 200 * DIMS));
  for (const when of ['before', 'while it runs']) {
    const stop = new AbortController();
    const reason = new Error(`stopped ${when}`);
    if (when === 'before') stop.abort(reason);
    const answer = searchWithFactory(out, new Float32Array(DIMS), 3, { signal: stop.signal });
    stop.abort(reason);
    assert.is(await answer.catch((error) => error), reason);
  }
});

s('a process that cannot be started is an error, and what takes bytes slowly keeps no listener', async () => {
  const { execPath } = process;
  process.execPath = '/nowhere/node';
  try {
    const error = await refused(() => searchWithFactory('x.faiss', new Float32Array(DIMS), 3), 'failed');
    assert.match(error.message, 'ENOENT');
  } finally {
    process.execPath = execPath;
  }
  const slow = spawn('cat');
  slow.stdout.resume();
  const before = slow.stdin.listenerCount('close');
  for (let i = 0; i < 3; i++) await send(slow, Buffer.alloc(1 << 20));
  assert.is(slow.stdin.listenerCount('close'), before);
  slow.stdin.end();
});

s('without the package the error says how to get it', () => {
  // The compiled program alone, in a folder where no package is installed.
  const root = folder();
  const compiled = fileURLToPath(new URL('../src', import.meta.url));
  cpSync(compiled, join(root, 'src'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{"type": "module"}');
  const script = `
    import { buildWithFactory, factoryVersion } from './src/faiss/factory.js';
    import { disk } from './src/files/disk.js';
    const blocks = async function* () { yield { start: 0, rows: 2, bytes: new Uint8Array(16) }; };
    const embeddings = { path: 'memory.npy', dtype: 'f4', rows: 2, dims: 2, blocks };
    console.log(factoryVersion());
    await buildWithFactory({ port: disk, embeddings, out: 'index.faiss', factory: 'HNSW8', metric: 'l2' })
      .catch((error) => console.log(error.kind, error.format()));
  `;
  writeFileSync(join(root, 'try.js'), script);
  const { stdout, stderr } = spawnSync(process.execPath, ['try.js'], { cwd: root, encoding: 'utf8' });
  assert.is(stderr, '');
  assert.match(stdout, 'faiss-node, not installed');
  assert.match(stdout, 'missing index.faiss: HNSW8 of memory.npy');
  assert.match(stdout, 'npm run faiss-node');
  assert.not(existsSync(join(root, 'index.faiss')));
});

needsBinary('queries that do not fit are refused, and so is a file that is no index', async () => {
  const { out } = await make('SQ8', {}, values.subarray(0, 200 * DIMS));
  await refused(() => searchWithFactory(out, new Float32Array(DIMS + 1), 3), 'usage');
  writeFileSync(out, 'IHNf but nothing behind it');
  await refused(() => searchWithFactory(out, new Float32Array(DIMS), 3), 'failed');
});

s.run();
