/** Metadata of references: every form of another program's row list is read, and of firn's own only the ranges. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import { type ReferenceFacts, readMetadata, writeMetadata } from '../src/reference/metadata.js';
import { readRowSources } from '../src/reference/row-sources.js';
import { temporaryFolder } from './rig/folder.js';
import { holds } from './rig/property.js';

const test = suite('metadata of references');

const folder = temporaryFolder();
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

interface Row {
  dataset: string;
  run_id: string;
  seq_idx: number;
  source_file: string;
}

function written(content: string | Uint8Array): string {
  const path = join(folder, 'metadata.json');
  writeFileSync(path, content);
  return path;
}

/** The ranges opened up again: must be the rows that went in. */
async function rowsIn(content: string | Uint8Array): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { dataset, run_id, start, count, seqIdx, source_file } of await readRowSources(
    disk,
    written(content),
  )) {
    assert.is(start, rows.length);
    for (let i = 0; i < count; i++) rows.push({ dataset, run_id, seq_idx: seqIdx + i, source_file });
  }
  return rows;
}

async function refused(content: string | Uint8Array): Promise<string> {
  const path = written(content);
  try {
    await readRowSources(disk, path);
  } catch (error) {
    assert.instance(error, FirnError);
    const found = error as FirnError;
    assert.equal([found.kind, found.path], ['input', path]);
    assert.ok(found.advice, found.message);
    return found.message;
  }
  throw new Error('was read');
}

/** Names that break a reader which looks for the list by its text. */
const name = fc.oneof(
  fc.string(),
  fc.constantFrom('A', 'B', 'sequences', '"sequences": [', ']}', '__proto__', 'é"\\\n'),
);
const plain = { noNullPrototype: true };
const row = fc.record({ dataset: name, run_id: name, seq_idx: fc.nat(3), source_file: name }, plain);
/** Rows of few runs, so that many of them go on where the one before ended. */
const ofFew = fc.record(
  {
    dataset: fc.constantFrom('A', 'B'),
    run_id: fc.constant('r'),
    seq_idx: fc.nat(2),
    source_file: fc.constant(''),
  },
  plain,
);
const list = fc.oneof(fc.array(row, { minLength: 1 }), fc.array(ofFew, { minLength: 1 }));
const inside = fc.oneof(fc.jsonValue(), fc.array(row), fc.record({ sequences: fc.array(row) }, plain));

test('rows come back as they were, wherever in the file the list stands', async () => {
  await holds(
    60,
    fc.asyncProperty(list, inside, inside, fc.nat(4), async (rows, before, after, indent) => {
      assert.equal(
        await rowsIn(JSON.stringify({ total: before, sequences: rows, datasets: after }, null, indent)),
        rows,
      );
      assert.equal(await rowsIn(JSON.stringify({ sequences: rows, runs: after }, null, indent)), rows);
      assert.equal(await rowsIn(JSON.stringify(rows, null, indent)), rows);
    }),
  );
});

test('blanks and a byte order mark before the list, further fields in a row, and no source_file', async () => {
  const rows = '[{"seq_idx": 4, "run_id": "r", "more": {"sequences": [1]}, "dataset": "A"}]';
  const expected = [{ dataset: 'A', run_id: 'r', seq_idx: 4, source_file: '' }];
  assert.equal(await rowsIn(` \r\n\t${rows}\n`), expected);
  assert.equal(await rowsIn(`\ufeff{"sequences": ${rows}}`), expected);
});

test('rows across the blocks that are read', async () => {
  const rows: Row[] = [];
  for (let i = 0; i < 20_000; i++) {
    rows.push({
      dataset: `é${i % 7 === 0 ? 'x' : 'y'}`,
      run_id: 'r',
      seq_idx: i,
      source_file: `${'s'.repeat(60)}${i}`,
    });
  }
  const text = JSON.stringify({ sequences: rows });
  assert.ok(text.length > 2 * 1024 * 1024);
  assert.equal(await rowsIn(text), rows);
});

test('what is no row list is refused by name', async () => {
  const good = '{"dataset": "A", "run_id": "r", "seq_idx": 0}';
  const cases: [content: string, says: RegExp][] = [
    ['', /^is empty$/],
    ['hello', /^is no metadata of a reference$/],
    ['"sequences"', /^is no metadata/],
    ['{"total_sequences": 3}', /^lists no rows$/],
    ['{"sequences": []}', /^lists no rows$/],
    ['{"sequences": null}', /^lists no rows$/],
    ['[]', /^lists no rows$/],
    [`{"sequences": {"0": ${good}}}`, /^`sequences` is not a list$/],
    ['{"sequences": [7]}', /^says of row 0 not what it needs to: dataset, run_id and seq_idx$/],
    ['{"sequences": [null]}', /^says of row 0/],
    [`{"sequences": [${good}, [${good}]]}`, /^says of row 1/],
    [`[${good}, {"dataset": "A", "run_id": "r", "seq_idx": "1"}]`, /^says of row 1/],
    ['[{"dataset": "A", "run_id": "r", "seq_idx": -1}]', /^says of row 0/],
    ['[{"dataset": "A", "run_id": "r", "seq_idx": 0.5}]', /^says of row 0/],
    ['[{"dataset": "A", "run_id": 7, "seq_idx": 0}]', /^says of row 0/],
    [`{"sequences": [${good}`, /^is cut short: it ends after 1 rows$/],
    [`{"sequences": [${good}], "total": 1`, /^is cut short: it ends after 1 rows$/],
    [`{"sequences": [${good}]} x`, /^is not valid JSON/],
    [`{"sequences": [${good}}`, /^is not valid JSON/],
    [`{"sequences": [${good} ${good}]}`, /^is not valid JSON/],
    [`[${good}, NaN]`, /^is not valid JSON/],
  ];
  for (const [content, says] of cases) assert.match(await refused(content), says, content);
});

test('cut at every byte it is refused', async () => {
  const whole = JSON.stringify(
    { total: 2, sequences: [{ dataset: 'A', run_id: 'é', seq_idx: 0 }], datasets: ['A'] },
    null,
    1,
  );
  const bytes = Buffer.from(whole);
  await rowsIn(bytes);
  for (let end = 0; end < bytes.length; end++) await refused(bytes.subarray(0, end));
});

test('of what firn wrote the ranges are read, wherever the blocks of the file end', async () => {
  const range = { count: 2, digest: 'sha256:00', dtype: 'f4', version: null, retained: false } as const;
  const factsOf = (padding: number): ReferenceFacts => ({
    ranges: Array.from({ length: 4200 }, (_, i) => ({
      ...range,
      dataset: i === 0 ? 'x'.repeat(padding) : 'é',
      run_id: `r${i}`,
    })),
    dims: 4,
    dtype: 'f4',
    embeddings: 'sha256:11',
    trainedRows: undefined,
  });
  const path = join(folder, 'own.json');
  const keyAt = async (padding: number): Promise<number> => {
    rmSync(path, { force: true });
    await writeMetadata(disk, path, factsOf(padding), { sequences: true });
    return readFileSync(path).indexOf('\n  "sequences": [');
  };
  const block = 1024 * 1024;
  const start = await keyAt(1);
  // The padded name stands among the datasets and in its range.
  const padding = 1 + Math.floor((block - start) / 2);
  assert.ok(padding > 1, `${start}`);
  for (let shift = -10; shift <= 2; shift++) {
    const at = await keyAt(padding + shift);
    assert.ok(Math.abs(at - block) < 32);
    assert.equal((await readMetadata(disk, path))?.ranges, factsOf(padding + shift).ranges, `key at ${at}`);
  }
});

test('a file of another program is passed over once as bytes, and not parsed, to see that it is not of firn', async () => {
  const rows = Array.from({ length: 40_000 }, (_, i) => ({
    dataset: 'A',
    run_id: 'r',
    seq_idx: i,
    source_file: '',
  }));
  const path = written(JSON.stringify({ firn: { format: 1 }, runs: [], sequences: rows }, null, 4));
  let bytes = 0;
  const open: typeof disk.open = async (name) => {
    const handle = await disk.open(name);
    return {
      path: handle.path,
      size: handle.size,
      stat: () => handle.stat(),
      close: () => handle.close(),
      async read(into, position) {
        const got = await handle.read(into, position);
        bytes += got;
        return got;
      },
    };
  };
  assert.is(await readMetadata({ ...disk, open }, path), undefined);
  assert.ok(bytes > 0 && bytes <= disk.stat(path)!.size + 2 * 1024 * 1024, `${bytes}`);
});

/** Prints the largest resident memory of a process that does nothing but read the file. */
const READER = `
const [disk, sources] = await Promise.all([import(process.argv[1] + 'files/disk.js'), import(process.argv[1] + 'reference/row-sources.js')]);
const ranges = await sources.readRowSources(disk.disk, process.argv[2]);
console.log(ranges.length, Math.round(process.resourceUsage().maxRSS / 1024));
`;

test('memory grows with runs, not with rows', () => {
  const lines: string[] = [];
  for (let i = 0; i < 150_000; i++) {
    lines.push(
      `{"dataset": "A", "run_id": "r${Math.floor(i / 50_000)}", "seq_idx": ${i % 50_000}, "source_file": "A/embeddings.npy"}`,
    );
  }
  const source = new URL('../src/', import.meta.url).href;
  const measure = (content: string): [ranges: number, megabytes: number] => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', READER, source, written(content)],
      { encoding: 'utf8' },
    );
    assert.is(stderr, '');
    return stdout.trim().split(' ').map(Number) as [number, number];
  };
  const [, least] = measure(`{"sequences": [${lines[0]}]}`);
  for (const content of [`{"sequences": [${lines.join(',\n')}]}`, `[${lines.join(',\n')}]`]) {
    const [ranges, megabytes] = measure(content);
    assert.is(ranges, 3);
    // Kept as objects the rows would take more than 40 MB.
    assert.ok(megabytes < least + 25, `${megabytes} MB, and ${least} MB for one row`);
  }
});

test.run();
