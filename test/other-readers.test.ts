/**
 * Files of firn in the hands of other people's JavaScript, npyjs and fflate, and theirs in firn's. numpy says more, but is
 * not on every machine.
 */
import { unzipSync, zipSync } from 'fflate';
import { dump, parse as parseNpy } from 'npyjs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

const test = suite('other readers');

const RUNS = 'consolidated_data/runs';
const JOINED = 'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}';
const ROWS = 9;
const DIMS = 5;

/** Values of both signs, with fractions that float32 holds exactly. */
function values(first: number): Float32Array {
  return Float32Array.from({ length: ROWS * DIMS }, (_, i) => (first + i) / 8 - 3);
}

function npy(rows: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(dump(rows, [ROWS, DIMS]));
}

interface Read {
  shape: number[];
  dtype: string;
  data: number[];
}

/** As npyjs reads it. */
function read(bytes: Uint8Array): Read {
  const { shape, dtype, data } = parseNpy(new Uint8Array(bytes).buffer);
  return { shape, dtype, data: Array.from(data as Float32Array) };
}

test('runs that npyjs and fflate wrote are joined, and npyjs reads the reference', async () => {
  const project = new TestProject(JOINED);
  project.write(`${RUNS}/A/npy/embeddings.npy`, npy(values(0)));
  project.write(
    `${RUNS}/A/npz-deflated/embeddings.npz`,
    zipSync({ 'embeddings.npy': npy(values(100)) }, { level: 9 }),
  );
  project.write(
    `${RUNS}/A/npz-stored/embeddings.npz`,
    zipSync({ 'embeddings.npy': npy(values(200)) }, { level: 0 }),
  );
  parse(await project.firn('build', '--json'));
  const { shape, dtype, data } = read(project.read('data/reference/consolidated_embeddings.npy'));
  assert.is(dtype, 'f4');
  assert.equal(shape, [3 * ROWS, DIMS]);
  assert.equal(data, [...values(0), ...values(100), ...values(200)]);
});

test('doubles stay doubles', async () => {
  const project = new TestProject(JOINED);
  const thirds = Float64Array.from(values(0), (value) => value / 3);
  project.write(`${RUNS}/A/run/embeddings.npy`, npy(thirds));
  parse(await project.firn('build', '--json'));
  const { dtype, data } = read(project.read('data/reference/consolidated_embeddings.npy'));
  assert.is(dtype, 'f8');
  assert.equal(data, [...thirds]);
});

for (const precision of ['lossless', 'float16']) {
  test(`a run that was compressed (${precision}) is unpacked by fflate and read by npyjs`, async () => {
    const project = new TestProject();
    project.write(`${RUNS}/A/run/embeddings.npy`, npy(values(0)));
    parse(await project.firn('compress', '--execute', '--json', '--precision', precision));
    const members = unzipSync(project.read(`${RUNS}/A/run/embeddings.npz`));
    assert.equal(Object.keys(members), ['embeddings.npy']);
    const { shape, data } = read(members['embeddings.npy']);
    assert.equal(shape, [ROWS, DIMS]);
    // Eighths of small numbers lose nothing in half precision.
    assert.equal(data, [...values(0)]);
  });
}

test.run();
