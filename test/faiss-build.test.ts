/** Building an index: the same bytes every time, centroids taken over, nothing left behind on failure. */
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { float32ToFloat16 } from '../src/arrays/convert.js';
import type { ArrayReader } from '../src/arrays/types.js';
import { buildIndex, trainingOf } from '../src/faiss/build.js';
import { exactSearch } from '../src/faiss/exact.js';
import { ivfLayout } from '../src/faiss/format.js';
import { readIndexHeader } from '../src/faiss/header.js';
import { ListWriter } from '../src/faiss/list-writer.js';
import { openIndex } from '../src/faiss/search.js';
import { readTrailer } from '../src/faiss/trailer.js';
import { pickTrainedRows } from '../src/faiss/training.js';
import { disk } from '../src/files/disk.js';
import type { Port, WriteHandle } from '../src/files/port.js';
import { arrayOf, build, clustered, countingPort, folder, refused, workers } from './faiss-rig.js';

const s = suite('faiss build');
const DIMS = 12;
const values = clustered(12_000, DIMS, 1);

for (const metric of ['l2', 'ip'] as const) {
  s(`two builds give equal bytes, and so does taking over centroids (${metric})`, async () => {
    const trainedRows = 9000;
    const first = await build(values.subarray(0, 11_000 * DIMS), DIMS, { metric, trainedRows });
    const again = await build(values, DIMS, { metric, trainedRows });
    const reused = await build(values, DIMS, { metric, trainedRows, prior: first.path });
    assert.not(again.report.reusedCentroids);
    assert.ok(reused.report.reusedCentroids);
    assert.ok(readFileSync(again.path).equals(readFileSync(reused.path)));
    const twice = await build(values, DIMS, { metric, trainedRows });
    assert.ok(readFileSync(again.path).equals(readFileSync(twice.path)));
  });
}

s('centroids are not taken over from other rows, another metric or a damaged index', async () => {
  const trainedRows = 9000;
  const { path } = await build(values, DIMS, { trainedRows });
  const other = Float32Array.from(values);
  other[5] += 1;
  const reused = async (of: Float32Array, options: object): Promise<boolean> =>
    (await build(of, DIMS, { trainedRows, prior: path, ...options })).report.reusedCentroids;
  assert.ok(await reused(values, {}));
  assert.not(await reused(other, {}));
  assert.not(await reused(values, { metric: 'ip' }));
  assert.not(await reused(values, { nlist: 50 }));
  assert.not(await reused(values, { trainedRows: 9001 }));
  const header = await readIndexHeader(disk, path);
  if (header.kind !== 'ivf') throw new Error('not IVF');
  const bytes = readFileSync(path);
  bytes[header.centroids + 3] ^= 1;
  writeFileSync(path, bytes);
  assert.not(await reused(values, {}));
});

s('the bytes depend neither on the blocks of the array nor on its float type', async () => {
  const halves = float32ToFloat16(values);
  const { path } = await build(values, DIMS);
  const out = join(folder(), 'index.faiss');
  await buildIndex({ port: disk, embeddings: arrayOf(values, DIMS, 777), out, metric: 'l2' });
  assert.ok(readFileSync(out).equals(readFileSync(path)));
  const doubles = join(folder(), 'index.faiss');
  await buildIndex({
    port: disk,
    embeddings: arrayOf(Float64Array.from(values), DIMS),
    out: doubles,
    metric: 'l2',
  });
  assert.ok(readFileSync(doubles).equals(readFileSync(path)));
  const half = join(folder(), 'index.faiss');
  await buildIndex({ port: disk, embeddings: arrayOf(halves, DIMS), out: half, metric: 'l2' });
  const index = await openIndex(disk, half);
  const [[nearest]] = await index.search(values.subarray(0, DIMS), 1);
  assert.is(nearest.id, 0);
  assert.ok(nearest.distance < 1e-4 && nearest.distance > 0);
  await index.close();
});

s('the size of the window changes no byte of the lists', async () => {
  const lists = Uint16Array.from({ length: 100 }, (_, row) => (row * row) % 7);
  const sizes = new Float64Array(7);
  for (const list of lists) sizes[list] += 1;
  const layout = ivfLayout(3, 'l2', sizes);
  const write = async (windowBytes: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(layout.end);
    const out: WriteHandle = {
      path: 'memory',
      async write(data, position) {
        bytes.set(data, position);
      },
      async sync() {},
      async close() {},
    };
    const writer = new ListWriter(out, layout, lists, workers, { windowBytes });
    for (const rows of [30, 69, 1]) {
      const start = rows === 30 ? 0 : rows === 69 ? 30 : 99;
      const data = Float32Array.from({ length: rows * 3 }, (_, i) => start * 3 + i);
      await writer.add({ start, rows, data });
    }
    await writer.finish();
    return bytes;
  };
  const whole = await write(1 << 20);
  assert.is(whole.readFloatLE(layout.offsets[1]), 3);
  assert.is(whole.readBigInt64LE(layout.offsets[1] + sizes[1] * 12), 1n);
  for (const windowBytes of [1, 12, 100, 500]) assert.ok((await write(windowBytes)).equals(whole));
});

s('many equal rows, as sequences have, are no trouble', async () => {
  const equal = Float32Array.from(values);
  for (let row = 0; row < 6000; row++) equal.copyWithin(row * DIMS, 0, DIMS);
  const { path, report } = await build(equal, DIMS);
  assert.ok(report.ivf!.imbalance > 10);
  const index = await openIndex(disk, path);
  const [found] = await index.search(equal.subarray(0, DIMS), 5);
  assert.equal(
    found,
    [0, 1, 2, 3, 4].map((id) => ({ id, distance: 0 })),
  );
  await index.close();
});

s('a collection of one vector only, many times, is still searched', async () => {
  const { path } = await build(new Float32Array(11_000 * 2).fill(3), 2);
  const index = await openIndex(disk, path);
  assert.is((await index.search(Float32Array.of(3, 3), 4))[0].length, 4);
  await index.close();
});

s('a search reads the header, the centroids and the probed lists', async () => {
  const { path } = await build(values, DIMS, { nprobe: 2 });
  const { port, bytes } = countingPort();
  const index = await openIndex(port, path);
  const { header } = index;
  if (header.kind !== 'ivf') throw new Error('not IVF');
  await index.search(values.subarray(0, DIMS), 5);
  const largest = Math.max(...header.sizes);
  const tables = header.offsets[0];
  assert.ok(bytes() <= tables + 2 * largest * (4 * DIMS + 8), `${bytes()} bytes read`);
  assert.ok(bytes() < header.end / 5);
  await index.close();
});

s('what the trailer says decides whether to train again', async () => {
  const { path } = await build(values, DIMS, { trainedRows: 9000 });
  const training = trainingOf(await readTrailer(disk, path));
  assert.equal([training?.trainedRows, training?.rows], [9000, 12_000]);
  assert.is(pickTrainedRows(training, 12_500), 9000);
  const flat = await build(values.subarray(0, 100 * DIMS), DIMS);
  assert.is(trainingOf(await readTrailer(disk, flat.path)), undefined);
});

s('a value that is not finite is refused with its row, and nothing is left', async () => {
  for (const [rows, wrong] of [
    [500, Number.NaN],
    [12_000, Number.POSITIVE_INFINITY],
  ]) {
    const bad = Float32Array.from(values.subarray(0, rows * DIMS));
    bad[(rows - 1) * DIMS + 3] = wrong;
    const out = join(folder(), 'index.faiss');
    const run = () => buildIndex({ port: disk, embeddings: arrayOf(bad, DIMS), out, metric: 'l2' });
    assert.match((await refused(run, 'input')).message, `row ${rows - 1} `);
    assert.equal(readdirSync(dirname(out)), []);
  }
});

s('a double too large for float32 is refused', async () => {
  const embeddings = arrayOf(Float64Array.of(1, 1e300), 2);
  const out = join(folder(), 'index.faiss');
  await refused(() => buildIndex({ port: disk, embeddings, out, metric: 'l2' }), 'input');
});

s('parameters that do not fit are refused before anything is written', async () => {
  const small = values.subarray(0, 100 * DIMS);
  for (const options of [
    { recall: 0 },
    { recall: 1.1 },
    { nlist: 101 },
    { nlist: 0 },
    { nlist: 5, nprobe: 6 },
    { trainedRows: 101 },
    { nlist: 50, trainedRows: 49 },
    { trailer: { index: 1 } },
  ]) {
    await refused(() => build(small, DIMS, options), 'usage');
  }
});

s('without onnxruntime an index is built in plain JavaScript, byte for byte the same', async () => {
  // The compiled program alone, in a folder where no package is installed.
  const root = folder();
  cpSync(fileURLToPath(new URL('../src', import.meta.url)), join(root, 'src'), { recursive: true });
  for (const name of ['faiss-rig.js', 'rig/folder.js']) {
    cpSync(fileURLToPath(new URL(`./${name}`, import.meta.url)), join(root, 'test', name));
  }
  writeFileSync(join(root, 'package.json'), '{"type": "module"}');
  const script = `
    import { renameSync } from 'node:fs';
    import { build, clustered } from './test/faiss-rig.js';
    import { loadEngine } from './src/faiss/matrix.js';
    const { path, report } = await build(clustered(3000, 8, 1), 8, { nlist: 20 });
    renameSync(path, 'index.faiss'); // its folder goes with this process
    console.log(JSON.stringify([(await loadEngine()).name, report.ivf.training.centroids]));
  `;
  writeFileSync(join(root, 'try.js'), script);
  const { stdout, stderr } = spawnSync(process.execPath, ['try.js'], { cwd: root, encoding: 'utf8' });
  assert.is(stderr, '');
  const [engine, centroids] = JSON.parse(stdout) as string[];
  assert.is(engine, 'javascript');
  const here = await build(clustered(3000, 8, 1), 8, { nlist: 20 });
  assert.is(here.report.ivf?.training.centroids, centroids);
  assert.ok(readFileSync(here.path).equals(readFileSync(join(root, 'index.faiss'))));
  const index = await openIndex(disk, join(root, 'index.faiss'));
  const rows = clustered(3000, 8, 1);
  const exact = await exactSearch(arrayOf(rows, 8), rows.subarray(0, 80), 5, 'l2');
  assert.equal(await index.search(rows.subarray(0, 80), 5, { nprobe: 20 }), exact);
  await index.close();
});

s('an index that grows reads the new rows only, and is what building it whole gives', async () => {
  for (const metric of ['l2', 'ip'] as const) {
    const all = clustered(9000, DIMS, 11);
    const options = { nlist: 40, metric, trainedRows: 5000 };
    const earlier = await build(all.subarray(0, 6000 * DIMS), DIMS, options);
    const whole = await build(all, DIMS, options);
    const out = join(folder(), 'index.faiss');
    const rows = arrayOf(all, DIMS);
    const embeddings: ArrayReader = {
      ...rows,
      blocks(range = {}) {
        assert.ok((range.from ?? 0) >= 6000, 'rows that are in the earlier index are read again');
        return rows.blocks(range);
      },
    };
    const growing = { prior: earlier.path, priorHoldsFirstRows: true, workers };
    const report = await buildIndex({ port: disk, embeddings, out, ...options, ...growing });
    assert.ok(report.reusedCentroids);
    assert.ok(readFileSync(out).equals(readFileSync(whole.path)));
    assert.equal(report.ivf, whole.report.ivf);
  }
});

s('an index of other parameters is built anew, whatever the earlier one holds', async () => {
  const all = clustered(6000, DIMS, 11);
  const earlier = await build(all.subarray(0, 5000 * DIMS), DIMS, { nlist: 40, trainedRows: 5000 });
  for (const other of [{ recall: 0.5 }, { nprobe: 3 }, { nlist: 41 }, { metric: 'ip' as const }]) {
    const options = { nlist: 40, trainedRows: 5000, ...other };
    const whole = await build(all, DIMS, options);
    const grown = await build(all, DIMS, { ...options, prior: earlier.path, priorHoldsFirstRows: true });
    assert.ok(readFileSync(grown.path).equals(readFileSync(whole.path)), JSON.stringify(other));
  }
});

s('a full disk while threads work ends in its error and nothing else', async () => {
  // In processes of their own: a rejection that nobody handles and a library that aborts would end them.
  const script = (at: number): string => `
    import { disk } from '${new URL('../src/files/disk.js', import.meta.url).href}';
    import { buildIndex } from '${new URL('../src/faiss/build.js', import.meta.url).href}';
    import { arrayOf, clustered, folder } from '${new URL('./faiss-rig.js', import.meta.url).href}';
    let writes = 0;
    const port = { ...disk, async create(path) {
      const handle = await disk.create(path);
      return { path, sync: () => handle.sync(), close: () => handle.close(), async write(data, position) {
        if (++writes === ${at}) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        await handle.write(data, position);
      } };
    } };
    const embeddings = arrayOf(clustered(60000, 64, 1), 64);
    const out = folder() + '/index.faiss';
    try {
      await buildIndex({ port, embeddings, out, metric: 'l2', nlist: 100 });
    } catch (error) {
      console.log(error.message);
    }
  `;
  for (const at of [1, 60, 150]) {
    const path = join(folder(), 'try.mjs');
    writeFileSync(path, script(at));
    const { status, stderr, stdout } = spawnSync(process.execPath, [path], { encoding: 'utf8' });
    assert.equal([status, stderr], [0, '']);
    assert.match(stdout, /^the disk is full/);
  }
});

s('a few rows far out cost no more than their own lists', async () => {
  const rows = clustered(20_000, 32, 1);
  for (const row of [5, 5000, 9999, 15_000]) for (let i = 0; i < 32; i++) rows[row * 32 + i] *= 1000;
  const { report } = await build(rows, 32);
  assert.ok(report.ivf!.nprobe <= 8, `nprobe ${report.ivf!.nprobe}`);
  assert.ok(report.ivf!.imbalance < 5, `imbalance ${report.ivf!.imbalance}`);
});

s('centroids are not taken over from rows that differ by less than codes can tell', async () => {
  const rows = clustered(6000, 32, 1);
  for (const row of [5, 2500, 5999]) for (let i = 0; i < 32; i++) rows[row * 32 + i] *= 1e5;
  const earlier = await build(rows, 32, { nlist: 40 });
  // Two rows change places: next to those far out all others have the same code, and so has the sample.
  const other = rows.slice();
  other.copyWithin(100 * 32, 101 * 32, 102 * 32);
  other.set(rows.subarray(100 * 32, 101 * 32), 101 * 32);
  const options = { nlist: 40 };
  const whole = await build(other, 32, options);
  const after = await build(other, 32, { ...options, prior: earlier.path });
  assert.not(after.report.reusedCentroids);
  assert.ok(readFileSync(after.path).equals(readFileSync(whole.path)));
});

s('a name that is taken is not overwritten', async () => {
  const out = join(folder(), 'index.faiss');
  writeFileSync(out, 'mine');
  try {
    await buildIndex({ port: disk, embeddings: arrayOf(values, DIMS), out, metric: 'l2' });
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'EEXIST');
  }
  assert.is(readFileSync(out, 'utf8'), 'mine');
});

s('whichever write fails, nothing is left and a full disk is named', async () => {
  for (const nlist of [undefined, 8]) {
    const rows = values.subarray(0, 600 * DIMS);
    for (let fatal = 1, failed = true; failed; fatal++) {
      const out = join(folder(), 'index.faiss');
      let writes = 0;
      const create: Port['create'] = async (path) => {
        const handle = await disk.create(path);
        return {
          path,
          sync: () => handle.sync(),
          close: () => handle.close(),
          async write(data, position) {
            writes += 1;
            if (writes !== fatal) return handle.write(data, position);
            await handle.write(data.subarray(0, data.length >> 1), position);
            throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
          },
        };
      };
      const port = { ...disk, create };
      const request = { port, embeddings: arrayOf(rows, DIMS), out, metric: 'l2' as const };
      try {
        await buildIndex({ ...request, workers, ...(nlist === undefined ? {} : { nlist }) });
        failed = false;
      } catch (error) {
        const message = (error as Error).message;
        assert.match(message, 'disk is full');
        assert.equal(readdirSync(dirname(out)), []);
      }
      if (!failed) assert.ok(fatal > 2);
    }
  }
});

s('a build that is told to stop leaves nothing', async () => {
  for (const stopAt of ['train', 'assign', 'write']) {
    const out = join(folder(), 'index.faiss');
    const controller = new AbortController();
    const onProgress = (_done: number, _total: number, phase: string): void => {
      if (phase === stopAt) controller.abort();
    };
    // 100 dimensions give several batches, so that there is a place to stop after the first.
    const embeddings = arrayOf(new Float32Array(40_000 * 100).fill(1), 100);
    const { signal } = controller;
    try {
      await buildIndex({ port: disk, embeddings, out, metric: 'l2', nlist: 2, onProgress, signal });
      assert.unreachable();
    } catch (error) {
      assert.is((error as Error).name, 'AbortError', String(error));
    }
    assert.equal(readdirSync(dirname(out)), []);
  }
});

s.run();
