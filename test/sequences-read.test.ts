/** Reading FASTA and FASTQ: what is understood, what is refused and where. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { ReadPort } from '../src/files/port.js';
import { cleanSequence } from '../src/sequences/bases.js';
import { FastaParser } from '../src/sequences/fasta.js';
import { FastqParser } from '../src/sequences/fastq.js';
import type { NamedSequence, SequenceParser } from '../src/sequences/lines.js';
import { readSequences } from '../src/sequences/read.js';
import { temporaryFolder } from './rig/folder.js';
import { holds } from './rig/property.js';

const s = suite('reading sequences');
const folder = temporaryFolder();
let files = 0;

function file(content: string | Uint8Array): string {
  files += 1;
  const path = join(folder, `${files}.txt`);
  writeFileSync(path, content);
  return path;
}

async function all(content: string | Uint8Array, port: ReadPort = disk): Promise<NamedSequence[]> {
  const found: NamedSequence[] = [];
  for await (const record of readSequences(port, file(content))) found.push(record);
  return found;
}

async function pairs(content: string | Uint8Array): Promise<[string, string][]> {
  return (await all(content)).map(({ name, sequence }) => [name, sequence]);
}

async function refusal(content: string | Uint8Array): Promise<FirnError> {
  const path = file(content);
  try {
    for await (const _ of readSequences(disk, path));
  } catch (error) {
    assert.instance(error, FirnError);
    const refused = error as FirnError;
    assert.is(refused.path, path);
    assert.is(refused.kind, 'input');
    return refused;
  }
  throw new Error('was not refused');
}

/** The disk, handing out blocks of at most `most` bytes. */
function slowDisk(most: number): ReadPort {
  return {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      return {
        path,
        size: handle.size,
        read: (into, position) =>
          handle.read(into.byteLength > 1000 ? into.subarray(0, most) : into, position),
        stat: () => handle.stat(),
        close: () => handle.close(),
      };
    },
  };
}

s('FASTA: lines joined, upper case, U is T, gaps and blanks dropped', async () => {
  assert.equal(
    await pairs(
      '\n>a first one\nacgu\nNNry\n\n>b\tsecond\r\nA C-G.T*\r\n\r\n>empty\n>last\nswkmbdhvSWKMBDHV',
    ),
    [
      ['a', 'ACGTNNRY'],
      ['b', 'ACGT'],
      ['empty', ''],
      ['last', 'SWKMBDHVSWKMBDHV'],
    ],
  );
});

s('FASTA: a byte order mark and white space before a name are passed over', async () => {
  assert.equal(await pairs('\ufeff>  a b\nAC\n>\nGT\n'), [
    ['a', 'AC'],
    ['', 'GT'],
  ]);
});

s('FASTQ: four lines a read, the quality may begin with @ or +', async () => {
  assert.equal(await pairs('@r1 x\r\nACG.\r\n+r1 x\r\n@+>I\r\n\r\n@r2\n\n+\n\n@r3\nu-A\n+\n+@@'), [
    ['r1', 'ACGN'],
    ['r2', ''],
    ['r3', 'TA'],
  ]);
});

s('nothing, or only blank lines, holds no sequence', async () => {
  for (const content of ['', '\n', '\r\n \t\n', gzipSync('')]) assert.equal(await pairs(content), []);
});

s('gzip is told by its bytes, also in several members and behind zeros', async () => {
  const members = [gzipSync('>a\nAC'), gzipSync('GT\n>'), gzipSync('b\nTT\n'), gzipSync('')];
  const joined = Buffer.concat(members);
  const expected = [
    ['a', 'ACGT'],
    ['b', 'TT'],
  ];
  assert.equal(await pairs(joined), expected);
  assert.equal(await pairs(Buffer.concat([joined, Buffer.alloc(512)])), expected);
  for (const most of [1, 2, 19, members[0]!.length]) {
    const found = await all(joined, slowDisk(most));
    assert.equal(
      found.map(({ name, sequence }) => [name, sequence]),
      expected,
      `${most} bytes a read`,
    );
  }
});

s('gzip cut at any byte is refused, by path', async () => {
  const whole = gzipSync('>a\nACGTACGGATTACA\n>b\nTTGACA\n');
  for (let length = 1; length < whole.length; length += 1) {
    const refused = await refusal(whole.subarray(0, length));
    assert.match(refused.message, length === 1 ? /0x1f/ : /cut short/, `${length} bytes`);
  }
});

s('gzip with a flipped bit or something behind it is refused', async () => {
  const whole = gzipSync('>a\nACGTACGGATTACA\n');
  const flipped = Buffer.from(whole);
  flipped[flipped.length - 6]! ^= 4;
  assert.match((await refusal(flipped)).message, /damaged/);
  assert.match((await refusal(Buffer.concat([whole, Buffer.from('more')]))).message, /damaged/);
  const behindZeros = Buffer.concat([whole, Buffer.alloc(300_000), Buffer.from('>b\nAC\n')]);
  assert.match((await refusal(behindZeros)).message, /more follows/);
});

/** A block as bgzip writes it (SAM specification 4.1). */
function bgzfBlock(text: string): Buffer {
  const deflated = deflateRawSync(text);
  const head = Buffer.from('1f8b08040000000000ff0600424302000000', 'hex');
  head.writeUInt16LE(head.length + deflated.length + 8 - 1, 16);
  const tail = gzipSync(text).subarray(-8);
  return Buffer.concat([head, deflated, tail]);
}

s('BGZF without its closing block was cut between two blocks, and is refused', async () => {
  const end = Buffer.from('1f8b08040000000000ff0600424302001b0003000000000000000000', 'hex');
  const blocks = [bgzfBlock('>a\nAC\n'), bgzfBlock('>b\nGT\n')];
  assert.equal(await pairs(Buffer.concat([...blocks, end])), [
    ['a', 'AC'],
    ['b', 'GT'],
  ]);
  assert.match((await refusal(Buffer.concat(blocks))).message, /cut short/);
});

s('other compressions are refused by name', async () => {
  assert.match((await refusal(Buffer.from('28b52ffd00', 'hex'))).message, /zstd/);
  assert.match((await refusal(Buffer.from('BZh91AY'))).message, /bzip2/);
});

const wrong: [what: string, content: string, line: number, message: RegExp][] = [
  ['text before the first header', '\nACGT\n>a\nAC\n', 2, /expected `>`/],
  ['a letter of a protein', '>a\nACGT\nMEF\n', 3, /'E' is no nucleotide letter/],
  ['a header within a line', '>a\nAC>b\n', 2, /'>'/],
  ['a control character', '>a\nAC\n\u0000\n', 3, /byte 0x00/],
  ['lines that end in CR alone', '>a\rACGT\r>b\rAC\r', 1, /carriage return/],
  ['a name without end', `>${'x'.repeat(70_000)}\nAC\n`, 1, /more than 65536 bytes/],
  ['FASTQ over several lines', '@r\nAC\nGT\n+\nIIII\n', 3, /`\+` line/],
  ['FASTQ with a quality too short', '@r\nACGT\n+\nIII\n@s\nA\n+\nI\n', 4, /4 letters of sequence, but 3/],
  ['FASTQ with a quality too long', '@r\n\n@s\nAC\n+\nIII\n', 3, /`\+` line/],
  ['FASTQ cut after the sequence', '@r\nAC\n+\nII\n\n@s\nAC\n', 8, /within a read/],
  ['FASTQ cut within the header', '@r\nAC\n+\nII\n@s', 5, /within a read/],
  ['FASTQ cut before the quality', '@r\nAC\n+\n', 4, /0 of quality/],
  ['FASTQ with a blank in the sequence', '@r\nA C\n+\nIII\n', 2, /byte 0x20/],
  ['FASTQ with text between reads', '@r\nAC\n+\nII\nACGT\n', 5, /expected `@`/],
  ['FASTQ with a quality that is none', '@r\nAC\n+\nI\u0007\n', 4, /no quality letter/],
];
for (const [what, content, line, message] of wrong) {
  s(`refused with its line: ${what}`, async () => {
    for (const packed of [content, gzipSync(content), content.replaceAll('\n', '\r\n')]) {
      const refused = await refusal(packed);
      assert.is(refused.line, line);
      assert.match(refused.message, message);
    }
  });
}

s('a pipe and a device are named, and not waited for', async () => {
  const pipe = join(temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const path of [pipe, '/dev/zero']) {
    try {
      for await (const _ of readSequences(disk, path));
      assert.unreachable();
    } catch (error) {
      assert.instance(error, FirnError);
      assert.match(
        (error as FirnError).format(),
        /is a pipe or a device; only files are read\n {2}Write the sequences/,
      );
    }
  }
});

s('a missing file and a folder are named', async () => {
  for (const [path, kind] of [
    [join(folder, 'none'), 'missing'],
    [folder, 'input'],
  ]) {
    try {
      for await (const _ of readSequences(disk, path!));
      assert.unreachable();
    } catch (error) {
      assert.instance(error, FirnError);
      assert.is((error as FirnError).path, path);
      assert.is((error as FirnError).kind, kind);
      assert.not.match((error as FirnError).message, /EISDIR/);
    }
  }
});

s('names that are not UTF-8 stay different names', async () => {
  const content = Buffer.concat([
    Buffer.from('>Bj\u00f8rn x\nA\n>Bj', 'utf8'),
    Buffer.from([0xf8]),
    Buffer.from('rn\nC\n>Bj'),
    Buffer.from([0xe6]),
    Buffer.from('rn\nG\n'),
  ]);
  assert.equal(
    (await all(content)).map(({ name }) => name),
    ['Bj\u00f8rn', 'Bj\u00f8rn', 'Bj\u00e6rn'],
  );
});

/** A port that counts what is open. */
function countingDisk(): { port: ReadPort; open: () => number } {
  let open = 0;
  const port: ReadPort = {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      open += 1;
      return {
        path,
        size: handle.size,
        read: (into, position) => handle.read(into, position),
        stat: () => handle.stat(),
        async close() {
          open -= 1;
          await handle.close();
        },
      };
    },
  };
  return { port, open: () => open };
}

s('progress counts the bytes of the file; leaving early or aborting closes it', async () => {
  const big = `>a\n${'ACGTTGCA'.repeat(200_000)}\n>b\nAC\n`;
  for (const content of [Buffer.from(big), gzipSync(big, { level: 0 })]) {
    const path = file(content);
    const { port, open } = countingDisk();
    let bytes = 0;
    let sequences = 0;
    const onBytes = (more: number) => {
      bytes += more;
    };
    for await (const { sequence } of readSequences(port, path, { onBytes })) sequences += sequence.length;
    assert.is(bytes, content.length);
    assert.is(sequences, 1_600_002);
    for await (const _ of readSequences(port, path)) break;
    const abort = new AbortController();
    const stop = new Error('enough');
    try {
      const options = { signal: abort.signal, onBytes: () => abort.abort(stop) };
      for await (const _ of readSequences(port, path, options));
      assert.unreachable();
    } catch (error) {
      assert.is(error, stop);
    }
    assert.is(open(), 0);
  }
});

/** Blocks cut at the given places. */
function parsed(parser: SequenceParser, text: string, cuts: number[]): NamedSequence[] {
  const bytes = Buffer.from(text, 'utf8');
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const found: NamedSequence[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    found.push(...parser.push(bytes.subarray(from, to)));
    from = to;
  }
  const last = parser.end();
  return last === undefined ? found : [...found, last];
}

const letters = fc.string({ unit: fc.constantFrom(...'ACGTRYSWKMBDHVN'), maxLength: 40 });
const names = fc.string({ unit: fc.constantFrom(...'aZ0|;=>@+\u00e9\u{1f9ec}'), minLength: 1, maxLength: 8 });
const records = fc.array(fc.record({ name: names, sequence: letters }, { noNullPrototype: true }), {
  minLength: 1,
  maxLength: 6,
});
const cuts = fc.array(fc.nat(), { maxLength: 12 });
const lineEnd = fc.constantFrom('\n', '\r\n');

s('FASTA: the same whatever the width of its lines and wherever it is cut into blocks', async () => {
  await holds(
    300,
    fc.property(records, cuts, lineEnd, fc.integer({ min: 1, max: 9 }), (list, at, end, width) => {
      const text = list
        .map(({ name, sequence }) =>
          [`>${name} rest`, ...(sequence.match(new RegExp(`.{1,${width}}`, 'g')) ?? []), ''].join(end),
        )
        .join('');
      assert.equal(parsed(new FastaParser('p', 1), text, at), list);
    }),
  );
});

s('FASTQ: the same wherever it is cut into blocks', async () => {
  await holds(
    300,
    fc.property(records, cuts, lineEnd, (list, at, end) => {
      const text = list
        .map(({ name, sequence }) => [`@${name}`, sequence, '+', '@'.repeat(sequence.length), ''].join(end))
        .join('');
      assert.equal(parsed(new FastqParser('p', 1), text, at), list);
    }),
  );
});

s('a sequence somebody typed is cleaned the same way', () => {
  assert.is(cleanSequence(' acgu\n-RYn* '), 'ACGTRYN');
  assert.throws(
    () => cleanSequence('AC GX'),
    (error: FirnError) => error.kind === 'usage' && /'X' .*after 3 others/.test(error.message),
  );
});

s.run();
