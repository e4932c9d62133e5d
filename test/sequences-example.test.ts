/** The example's sequences are what their README says, and their script makes them again. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { createEmbedder } from '../src/sequences/embedder.js';
import { readSequences } from '../src/sequences/read.js';
import { temporaryFolder } from './rig/folder.js';

const s = suite('the example sequences');
const SOURCE = '/usr/share/doc/vsearch-examples/BioMarKs50k.fsa.gz';

function runFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.fasta.gz'))
    .sort();
}

s('six runs of 1750, of which 10,496 sequences can be embedded', async () => {
  const { embed } = createEmbedder('kmer');
  const names = new Set<string>();
  const counts: number[] = [];
  let short = 0;
  for (const file of runFiles('sequences')) {
    let count = 0;
    for await (const { name, sequence } of readSequences(disk, join('sequences', file))) {
      count += 1;
      names.add(name);
      if (embed(sequence) === undefined) short += 1;
    }
    counts.push(count);
  }
  assert.equal(counts, [1750, 1750, 1750, 1750, 1750, 1750]);
  assert.is(names.size, 10_500);
  assert.is(short, 4);
});

const remade = existsSync(SOURCE) ? s : s.skip;
if (remade === s.skip) console.log(`SKIPPED making the example again: no ${SOURCE}`);
remade('made again from the Debian file, the bytes are the same', () => {
  const folder = temporaryFolder();
  execFileSync('sh', ['sequences/make-example.sh', folder], { stdio: 'ignore' });
  const files = runFiles('sequences');
  assert.equal(runFiles(folder), files);
  for (const file of files) {
    assert.ok(readFileSync(join(folder, file)).equals(readFileSync(join('sequences', file))), file);
  }
});

s.run();
