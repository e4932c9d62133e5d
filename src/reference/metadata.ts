/**
 * consolidated_metadata.json: the older system's fields, so that its tools read it unchanged, and beside them the runs as
 * ranges, which is all that firn itself reads of the file. The list of sequences stands last and is never parsed here.
 */
import type { Dtype } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import { LineWriter } from '../files/line-writer.js';
import type { ReadPort, WritePort } from '../files/port.js';
import { layoutDigest, type Range, startsOf } from './layout.js';
import { checkOf, type Head, isAsWritten, isObject, type ReadHead } from './metadata-head.js';
import { Nesting } from './nesting.js';
import { BYTE_ORDER_MARK } from './row-sources.js';

const FORMAT = 1;
/** The part before the sequences: about 300 bytes a run. */
const HEAD_LIMIT = 256 * 1024 * 1024;
const HEAD_BLOCK = 1024 * 1024;
/** Rows of the list that are written as one text. */
const ROWS_AT_ONCE = 1000;
/** JSON indented by two, as firn and most Python programs write it. */
const HEAD_START = Buffer.from('{\n  "');
/** Stands in firn's metadata and nowhere else, however it is laid out. */
const REWRITTEN_KEY = Buffer.from('"layout"');
/** What is read of a file that was written anew. */
const HEAD_FIELDS = ['embedding_dim', 'total_sequences', 'total_runs', 'firn', 'runs'];
const SEQUENCES_KEY = Buffer.from('\n  "sequences": [');

export interface ReferenceFacts {
  ranges: Range[];
  dims: number;
  dtype: Dtype;
  /** `sha256:` of the bytes of consolidated_embeddings.npy. */
  embeddings: string;
  /** An index of these rows is trained on the first so many; on all of them when undefined. */
  trainedRows?: number | undefined;
  /** Of a release: what it is called, and its date. */
  release?: { name: string; tag: string; date: string } | undefined;
}

export interface MetadataOptions {
  /** Off leaves the per-row list empty. */
  sequences: boolean;
  signal?: AbortSignal;
}

/** Writes `metadataText`. */
export async function writeMetadata(
  port: WritePort,
  path: string,
  facts: ReferenceFacts,
  options: MetadataOptions,
): Promise<void> {
  const lines = await LineWriter.create(port, path);
  try {
    for (const text of metadataText(facts, options)) await lines.write(text);
    await lines.finish();
  } catch (error) {
    await lines.abort();
    throw error;
  }
}

/** The text of the file, piece by piece. The same facts give the same text. */
export function* metadataText(facts: ReferenceFacts, options: MetadataOptions): Generator<string> {
  const head = JSON.stringify(headOf(facts), null, 2);
  yield `${head.slice(0, head.lastIndexOf('\n}'))},\n  "sequences": [`;
  let first = true;
  if (options.sequences) {
    for (const range of facts.ranges) {
      options.signal?.throwIfAborted();
      const dataset = JSON.stringify(range.dataset);
      const run = JSON.stringify(range.run_id);
      // The container may change from .npy to .npz and back; the name of the source does not.
      const source = JSON.stringify(`${range.dataset}/${range.run_id}/embeddings.npy`);
      const before = `\n    {"dataset": ${dataset}, "run_id": ${run}, "seq_idx": `;
      const after = `, "source_file": ${source}}`;
      for (let from = 0; from < range.count; from += ROWS_AT_ONCE) {
        let text = '';
        for (let i = from; i < Math.min(range.count, from + ROWS_AT_ONCE); i++) {
          text += `${first ? '' : ','}${before}${i}${after}`;
          first = false;
        }
        yield text;
      }
    }
  }
  yield first ? ']\n}\n' : '\n  ]\n}\n';
}

function headOf(facts: ReferenceFacts): Head {
  const starts = startsOf(facts.ranges);
  const datasets = [...new Set(facts.ranges.map((range) => range.dataset))].sort();
  const runs = facts.ranges.map((range, i) => ({
    dataset: range.dataset,
    run_id: range.run_id,
    start: starts[i],
    count: range.count,
    digest: range.digest,
    dtype: range.dtype,
    version: range.version,
    retained: range.retained,
  }));
  const said = {
    format: FORMAT,
    dtype: `<${facts.dtype}`,
    embeddings: facts.embeddings,
    layout: layoutDigest(facts.ranges),
    ...(facts.trainedRows === undefined ? {} : { trained_rows: facts.trainedRows }),
    ...(facts.release === undefined ? {} : { release: facts.release }),
  };
  return {
    total_sequences: starts[starts.length - 1],
    total_runs: facts.ranges.length,
    datasets,
    embedding_dim: facts.dims,
    firn: { ...said, check: checkOf(facts.dims, said, runs) },
    runs,
  };
}

/**
 * The ranges and facts of a reference that firn wrote. Undefined when there is no such file or another program wrote it;
 * FirnError when firn wrote it and it was altered or cut.
 */
export async function readMetadata(port: ReadPort, path: string): Promise<ReferenceFacts | undefined> {
  if (port.stat(path)?.kind !== 'file') return undefined;
  const head = (await readHead(port, path)) ?? (await readRewritten(port, path));
  // Another program's; `runs` in its own sense may stand there as well.
  if (!isObject(head?.firn) || !Array.isArray(head.runs)) return undefined;
  if (Number(head.firn.format) > FORMAT) {
    throw new FirnError('input', `was written by a newer firn (format ${Number(head.firn.format)})`, {
      path,
      advice: 'Use that firn, or a newer one.',
    });
  }
  if (!isAsWritten(head)) {
    throw new FirnError('input', 'was altered since firn wrote it', {
      path,
      advice: 'Put the file back as it was (a release or backup has it).',
    });
  }
  return {
    ranges: head.runs.map(({ start: _start, ...range }) => range),
    dims: head.embedding_dim,
    dtype: head.firn.dtype.slice(1) as Dtype,
    embeddings: head.firn.embeddings,
    trainedRows: head.firn.trained_rows,
    ...(head.firn.release === undefined ? {} : { release: head.firn.release }),
  };
}

/**
 * What in firn's metadata does not add up: ranges that leave gaps or overlap, a run that stands twice, totals that are not
 * those of the ranges. Empty when all does, and for what `readMetadata` refuses or does not know.
 */
export async function metadataProblems(port: ReadPort, path: string): Promise<string[]> {
  const head = (await readHead(port, path)) ?? (await readRewritten(port, path));
  if (head === undefined || !isObject(head.firn) || !isAsWritten(head)) return [];
  const problems: string[] = [];
  const names = new Set<string>();
  let rows = 0;
  for (const { dataset, run_id, start, count } of head.runs) {
    const name = `${dataset}/${run_id}`;
    if (start !== rows) problems.push(`the rows of ${name} begin at ${start}, expected ${rows}`);
    if (!Number.isSafeInteger(count) || count < 0) problems.push(`${name} has ${count} rows`);
    if (names.has(name)) problems.push(`${name} stands there twice`);
    names.add(name);
    rows += count;
  }
  const totals: [field: 'total_sequences' | 'total_runs', expected: number][] = [
    ['total_sequences', rows],
    ['total_runs', head.runs.length],
  ];
  for (const [field, expected] of totals) {
    if (head[field] !== undefined && head[field] !== expected)
      problems.push(`${field} is ${head[field]}, and the ranges give ${expected}`);
  }
  return problems;
}

/** What stands before the sequences; undefined when the file is not laid out as firn lays it out. */
async function readHead(port: ReadPort, path: string): Promise<ReadHead | undefined> {
  const text = await readHeadText(port, path);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as ReadHead);
  } catch {
    return undefined;
  }
}

/** firn's metadata as another program wrote it anew, in whatever layout; undefined when it is not firn's. */
async function readRewritten(port: ReadPort, path: string): Promise<ReadHead | undefined> {
  if (!(await holdsText(port, path, REWRITTEN_KEY))) return undefined;
  // Loaded here: hardly any reference needs it.
  const { JSONParser } = await import('@streamparser/json');
  const head: { [name: string]: unknown } = {};
  const parser = new JSONParser({ paths: HEAD_FIELDS.map((name) => `$.${name}`), keepStack: false });
  const nesting = new Nesting();
  let failed = false;
  parser.onValue = ({ value, key }) => {
    head[String(key)] = value;
  };
  parser.onError = () => {
    failed = true;
  };
  let isFirst = true;
  await eachBlock(port, path, (block) => {
    // Some editors put a byte order mark before the text.
    const bytes = isFirst && block.subarray(0, 3).equals(BYTE_ORDER_MARK) ? block.subarray(3) : block;
    isFirst = false;
    try {
      failed ||= nesting.isTooDeep(bytes);
      if (!failed) parser.write(bytes);
    } catch {
      // A text longer than a string can be.
      failed = true;
    }
    return failed;
  });
  return failed ? undefined : (head as ReadHead);
}

/** Whether some text stands anywhere in the file: a pass over its bytes, where parsing it would take minutes. */
async function holdsText(port: ReadPort, path: string, text: Buffer): Promise<boolean> {
  let tail = Buffer.alloc(0);
  let found = false;
  await eachBlock(port, path, (block) => {
    const bytes = Buffer.concat([tail, block]);
    found = bytes.includes(text);
    tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - text.length + 1)));
    return found;
  });
  return found;
}

/** Hands on the file block by block until `take` says that it is enough. */
async function eachBlock(port: ReadPort, path: string, take: (block: Buffer) => boolean): Promise<void> {
  const handle = await port.open(path);
  try {
    const block = Buffer.allocUnsafe(HEAD_BLOCK);
    for (let position = 0; ; ) {
      const read = await handle.read(block, position);
      if (read === 0 || take(block.subarray(0, read))) return;
      position += read;
    }
  } finally {
    await handle.close();
  }
}

/** The text before the sequences, closed to be JSON by itself. */
async function readHeadText(port: ReadPort, path: string): Promise<string | undefined> {
  const handle = await port.open(path);
  try {
    const blocks: Buffer[] = [];
    const block = Buffer.allocUnsafe(HEAD_BLOCK);
    let before = Buffer.alloc(0);
    for (let position = 0; position < HEAD_LIMIT; ) {
      const read = await handle.read(block, position);
      if (read === 0) return undefined;
      const bytes = Buffer.from(block.subarray(0, read));
      // Another program's file, or firn's written anew in another layout, would be read as a whole in vain.
      if (position === 0 && !bytes.subarray(0, HEAD_START.length).equals(HEAD_START)) return undefined;
      blocks.push(bytes);
      // The key may lie across two blocks.
      const found = Buffer.concat([before, bytes]).indexOf(SEQUENCES_KEY);
      if (found !== -1) {
        const text = Buffer.concat(blocks).toString('utf8', 0, position - before.length + found);
        return `${text.trimEnd().replace(/,$/, '')}\n}`;
      }
      before = bytes.subarray(Math.max(0, read - SEQUENCES_KEY.length + 1));
      position += read;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

/** As an empty list ends the file, when firn wrote it. */
const NO_SEQUENCES = '"sequences": []\n}\n';

/** Whether the file lists every row; also said of one that another program wrote anew. */
export async function listsSequences(port: ReadPort, path: string): Promise<boolean> {
  const handle = await port.open(path);
  try {
    const end = Buffer.alloc(Math.min(handle.size, NO_SEQUENCES.length));
    await handle.read(end, handle.size - end.length);
    return end.toString('latin1') !== NO_SEQUENCES;
  } finally {
    await handle.close();
  }
}
