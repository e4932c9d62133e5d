/** FASTA, FASTQ and gzip with anything in them: sequences, or a FirnError that names file and line. */
import * as zlib from 'node:zlib';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import type { NamedSequence } from '../src/sequences/lines.js';
import { readSequences } from '../src/sequences/read.js';
import { memoryPort } from './rig/memory-port.js';
import { counted, damaged, holds } from './rig/property.js';

const s = suite('hostile sequences');

async function outcome(bytes: Uint8Array): Promise<NamedSequence[] | FirnError> {
  const found: NamedSequence[] = [];
  try {
    for await (const one of readSequences(memoryPort(bytes), 'small')) found.push(one);
    return found;
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    assert.equal([error.kind, error.path], ['input', 'small'], error.message);
    return error;
  }
}

const FASTA = Buffer.from('\ufeff\n>one first\r\nACGTN-\r\nacgu*\r\n>two\n\nRYSWKMBDHV\n>three\n');
const FASTQ = Buffer.from('@one x\nACGT\n+one\n@+!~\n\n@two\nAC.N\n+\n@@@@\n');
const members = Buffer.concat([FASTA.subarray(0, 20), FASTA.subarray(20)].map((part) => zlib.gzipSync(part)));
const FORMS = [FASTA, FASTQ, zlib.gzipSync(FASTA), zlib.gzipSync(FASTQ, { level: 0 }), members];

function check(bytes: Uint8Array, found: NamedSequence[] | FirnError): void {
  if (found instanceof FirnError) {
    // What is wrong with packed data has no line.
    if (!/gzip|compressed/.test(found.message)) assert.ok((found.line ?? 0) >= 1, found.message);
    return;
  }
  for (const { sequence } of found) assert.match(sequence, /^[ACGTRYSWKMBDHVN]*$/);
  assert.ok(found.length <= bytes.length);
}

s('anything changed, anywhere', async () => {
  const seen = { read: 0, refused: 0 };
  await holds(
    3000,
    fc.asyncProperty(fc.constantFrom(...FORMS).chain(damaged), async (bytes) => {
      const found = await outcome(bytes);
      check(bytes, found);
      seen[found instanceof FirnError ? 'refused' : 'read'] += 1;
    }),
  );
  assert.ok(seen.read > 200 && seen.refused > 200, JSON.stringify(seen));
});

s('scraps of what such files are made of', async () => {
  const scrap = fc.constantFrom(
    '>',
    '@',
    '+',
    'ACGT',
    'n',
    '-',
    '.',
    '*',
    '\n',
    '\r\n',
    '\r',
    ' ',
    '\t',
    '\0',
    'J',
    '!',
    '~',
    '\x7f',
    '\u00e9',
    '\x1f\x8b',
    'PK\x03\x04',
    '\ufeff',
  );
  await holds(
    3000,
    fc.asyncProperty(fc.array(scrap, { maxLength: 30 }), fc.boolean(), async (scraps, packed) => {
      const bytes = Buffer.from(scraps.join(''), 'utf8');
      const found = await outcome(packed ? zlib.gzipSync(bytes) : bytes);
      check(bytes, found);
      // Packing changes nothing, but for what is then told of twice packed data.
      const plain = await outcome(bytes);
      if (!packed) assert.equal(found instanceof FirnError, plain instanceof FirnError);
      else if (!(plain instanceof FirnError)) assert.equal(found, plain);
    }),
  );
});

s('packed data with any one bit flipped: refused, or the very same sequences', async () => {
  for (const bytes of FORMS.slice(2)) {
    const whole = (await outcome(bytes)) as NamedSequence[];
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      const found = await outcome(flipped);
      if (!(found instanceof FirnError)) assert.equal(found, whole, `bit ${bit}`);
    }
    counted(bytes.length * 8);
  }
});

s('a file packed to a thousandth of its size is unpacked block by block', async () => {
  // 64 MB of N without a header: refused at the first letter, long before it is unpacked.
  const bomb = zlib.gzipSync(Buffer.alloc(64_000_000, 'N'));
  assert.ok(bomb.length < 100_000);
  const began = process.memoryUsage().arrayBuffers;
  assert.match(
    ((await outcome(bomb)) as FirnError).message,
    "expected `>` (FASTA) or `@` (FASTQ), found 'N'",
  );
  assert.ok(process.memoryUsage().arrayBuffers - began < 16_000_000);
});

s.run();
