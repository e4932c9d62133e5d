/**
 * No memory on a header's word, and no waiting: files that are as long as they say and hold nothing but holes, archives
 * that grow a thousandfold, pipes and devices where a file should be. Each group is read in a process of its own with a
 * small heap, which says how much memory it took at most.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, localHeader } from '../src/arrays/zip-records.js';
import { flatHead, ivfLayout } from '../src/faiss/format.js';
import { npyWith } from './arrays-rig.js';
import { temporaryFolder } from './rig/folder.js';
import { TestProject } from './rig/project.js';

const s = suite('hostile memory');

const folder = temporaryFolder();
const TERABYTE = 2 ** 40;

/** A file of that length with these pieces in it, and holes between them. */
function sparse(name: string, length: number, ...pieces: [at: number, bytes: Uint8Array][]): string {
  const path = join(folder, name);
  const file = openSync(path, 'w');
  for (const [at, bytes] of pieces) writeSync(file, bytes, 0, bytes.length, at);
  ftruncateSync(file, length);
  closeSync(file);
  return path;
}

const READER = `
const [source, ...paths] = process.argv.slice(1);
const { disk } = await import(source + 'files/disk.js');
const { openArray } = await import(source + 'arrays/open.js');
const { openIndex } = await import(source + 'faiss/search.js');
const { readMetadata } = await import(source + 'reference/metadata.js');
const { readRowSources } = await import(source + 'reference/row-sources.js');
const { readLog } = await import(source + 'engine/log-file.js');
const { loadRegistry } = await import(source + 'runs/versions.js');
const { readRunFacts } = await import(source + 'runs/run-facts.js');
const { readSequences } = await import(source + 'sequences/read.js');
const first = async (all) => { for await (const one of all) return one; };
const read = {
  array: async (path) => { const array = await openArray(disk, path); const { rows } = await first(array.blocks()); await array.close(); return array.rows + ' x ' + array.dims + ', ' + rows; },
  index: async (path) => { const index = await openIndex(disk, path); await index.search(new Float32Array(index.header.dims), 1); await index.close(); return 'searched'; },
  metadata: (path) => readMetadata(disk, path),
  rows: async (path) => (await readRowSources(disk, path)).length,
  log: (path) => readLog(disk, path).entries.length,
  registry: (path) => loadRegistry(disk, path).versions.size,
  facts: (path) => readRunFacts(disk, path),
  sequences: async (path) => (await first(readSequences(disk, path)))?.sequence.length,
};
const said = [];
for (const path of paths) {
  const [kind, ...rest] = path.split(':');
  try { said.push(String(await read[kind](rest.join(':')))); }
  catch (error) { said.push(error.constructor.name + ': ' + error.message); }
}
// Not resourceUsage: that begins with the memory of the process that started this one.
const [, most] = /VmHWM:\\s*(\\d+) kB/.exec((await import('node:fs')).readFileSync('/proc/self/status', 'utf8'));
console.log(JSON.stringify({ said, megabytes: Math.round(Number(most) / 1024) }));
`;

/** What reading each `kind:path` ended in, in one process with a heap of 64 MB. */
function read(...paths: string[]): { said: string[]; megabytes: number } {
  const source = new URL('../src/', import.meta.url).href;
  const options = { encoding: 'utf8', timeout: 60_000 } as const;
  const args = ['--max-old-space-size=64', '--input-type=module', '-e', READER, source, ...paths];
  const { stdout, stderr, signal } = spawnSync(process.execPath, args, options);
  assert.equal([signal, stderr], [null, '']);
  return JSON.parse(stdout) as { said: string[]; megabytes: number };
}

const { megabytes: least } = read();

/** Checks what is said of each, and the memory above that of a process that reads nothing. */
function check(limit: number, cases: [what: string, says: RegExp][]): void {
  const { said, megabytes } = read(...cases.map(([what]) => what));
  for (const [i, [what, says]] of cases.entries()) assert.match(said[i], says, what);
  assert.ok(megabytes - least < limit, `${megabytes} MB, and ${least} MB for nothing`);
}

const npyHead = (shape: string, fortran = 'False', descr = '<f4') =>
  npyWith(`{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`, new Uint8Array(0));

s('arrays of a terabyte that is not there', () => {
  check(220, [
    [
      `array:${sparse('rows.npy', TERABYTE, [0, npyHead('(270000000000, 1)')])}`,
      /^270000000000 x 1, 1048576$/,
    ],
    [`array:${sparse('wide.npy', TERABYTE, [0, npyHead('(3, 16777216)')])}`, /^3 x 16777216, 1$/],
    [
      `array:${sparse('wider.npy', TERABYTE, [0, npyHead('(3, 16777217)')])}`,
      /^FirnError: .*a row is more than/,
    ],
    [
      `array:${sparse('columns.npy', TERABYTE, [0, npyHead('(1000000000, 200)', 'True')])}`,
      /^1000000000 x 200, 5242$/,
    ],
    [
      `array:${sparse('header.npy', TERABYTE, [0, Buffer.from('\x93NUMPY\x02\0\xff\xff\xff\xff', 'latin1')])}`,
      /^FirnError: claims a header of/,
    ],
  ]);
});

s('archives of a terabyte that is not there, and one that grows a thousandfold', () => {
  const deflated = zlib.deflateRawSync(
    Buffer.concat([npyHead('(10000000, 25)'), Buffer.alloc(1_000_000_000)]),
    { level: 9 },
  );
  assert.ok(deflated.length < 1_100_000);
  const size = 1_000_000_000 + npyHead('(10000000, 25)').length;
  const zip = (name: string, compressed: number, claimed: number): string => {
    const member = { name: 'embeddings.npy', crc32: 0, compressed, size: claimed, zip64: true };
    const head = localHeader(member);
    const end = head.length + compressed;
    const tail = directory(member, end, new Uint8Array(0));
    return sparse(name, end + tail.length, [0, head], [head.length, deflated], [end, tail]);
  };
  check(120, [
    [`array:${zip('bomb.npz', deflated.length, size)}`, /^10000000 x 25, 41943$/],
    [`array:${zip('holes.npz', 2 ** 39, size)}`, /^10000000 x 25, 41943$/],
    [`array:${zip('claims.npz', deflated.length, TERABYTE)}`, /^FirnError: .*cannot inflate from/],
    [
      `array:${sparse('end.npz', TERABYTE, [0, Buffer.from('PK\x03\x04')])}`,
      /^FirnError: .*no zip directory at its end/,
    ],
  ]);
});

s('indexes of a terabyte that is not there', () => {
  const words = (...values: bigint[]) => Buffer.from(BigUint64Array.from(values).buffer);
  const ivf = (name: string, dims: number, nlist: bigint): string => {
    const layout = ivfLayout(dims, 'l2', new Float64Array(1));
    const head = Buffer.alloc(37);
    head.write('IwFl', 'latin1');
    head.writeInt32LE(dims, 4);
    head.writeUInt8(1, 32);
    head.writeInt32LE(1, 33);
    assert.is(layout.rows, 0);
    const quantizer = Buffer.from(head);
    quantizer.write('IxF2', 'latin1');
    quantizer.writeBigInt64LE(nlist, 8);
    const centroids = 53 + 37 + 8;
    const lists = centroids + 4 * dims * Number(nlist) + 9;
    const tail = Buffer.concat([
      Buffer.from('ilar'),
      words(nlist, BigInt(4 * dims)),
      Buffer.from('full'),
      words(nlist),
    ]);
    const values = words(nlist, 1n);
    return sparse(
      name,
      TERABYTE,
      [0, head],
      [37, values],
      [53, quantizer],
      [90, words(nlist * BigInt(dims))],
      [lists, tail],
    );
  };
  check(160, [
    [`index:${ivf('lists.faiss', 1, 1n << 34n)}`, /^FirnError: .*more than is held in memory here/],
    [`index:${ivf('some.faiss', 2, 1n << 20n)}`, /^searched$/],
    [`index:${ivf('centroids.faiss', 4096, 1n << 20n)}`, /^FirnError: .*more than is held in memory here/],
    [
      `index:${sparse('wide.faiss', TERABYTE, [0, flatHead(2 ** 31 - 1, 100, 'l2')])}`,
      /^FirnError: .*2147483647 dimensions/,
    ],
  ]);
});

s('texts that are too long, or no texts', () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const zero = join(folder, 'zero');
  symlinkSync('/dev/zero', zero);
  const long = sparse('long', TERABYTE);
  const log = sparse('log', 536_870_900);
  const bomb = join(folder, 'bomb.gz');
  writeFileSync(
    bomb,
    zlib.gzipSync(
      Buffer.concat([Buffer.from('>a\n'), Buffer.alloc(40_000_000, '-'), Buffer.from('\nACGT\n')]),
    ),
  );
  check(120, [
    [`log:${long}`, /^0$/],
    [`log:${log}`, /^0$/],
    [`log:${pipe}`, /^FirnError: is no file$/],
    [`registry:${long}`, /^FirnError: is 1099511627776 bytes, more than/],
    [`registry:${pipe}`, /^FirnError: is no file$/],
    [`registry:${zero}`, /^FirnError: is no file$/],
    [`registry:${folder}`, /^FirnError: is a folder, expected a file$/],
    ...[long, pipe, zero, folder].map((path): [string, RegExp] => [`facts:${path}`, /^undefined$/]),
    ...[pipe, zero, folder].map((path): [string, RegExp] => [`array:${path}`, /^FirnError: is not a file$/]),
    ...[pipe, zero, folder].map((path): [string, RegExp] => [`metadata:${path}`, /^undefined$/]),
    [`rows:${long}`, /^FirnError: is no metadata of a reference$/],
    // Forty million gaps between a header and its sequence.
    [`sequences:${bomb}`, /^4$/],
  ]);
});

s('pipes in the places of files do not stop a build', async () => {
  const project = new TestProject(
    'targets:\n  reference: {rule: consolidate, runs: {version: v1}, out: data/reference}\n',
  );
  await project.writeRun('A/r1');
  project.write(
    'data/reference/embedding_versions.json',
    '{"versions": {"v1": {"model": "m"}}, "runs": {"A/r1": {"version": "v1"}}}',
  );
  execFileSync('mkfifo', [project.path('consolidated_data/runs/A/r1/embedding_run.json')]);
  mkdirSync(project.path('cache'));
  for (const name of ['fresh.jsonl', 'pipeline.jsonl'])
    execFileSync('mkfifo', [project.path(`cache/${name}`)]);
  assert.is((await project.build()).ran, 1);
  execFileSync('mkfifo', [project.path('pipe')]);
  project.write(
    'pipeline.yaml',
    'versions: pipe\ntargets:\n  reference: {rule: consolidate, runs: {version: v1}, out: data/reference}\n',
  );
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(stderr, /^firn: pipe: is no file\n/);
});

s.run();
