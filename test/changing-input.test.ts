/** An input that changes while it is read is not recorded, and a change that `stat` does not show is noticed. */
import { closeSync, openSync, statSync, utimesSync, writeSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Digests } from '../src/engine/digests.js';
import { FileClock } from '../src/engine/file-clock.js';
import type { Digester } from '../src/engine/types.js';
import type { Port } from '../src/files/port.js';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('changing input');

const SCRIPT = `
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
const [from, to] = process.argv.slice(2);
writeFileSync(to, readFileSync(from));
if (!existsSync('edited-once')) {
  writeFileSync('edited-once', '');
  appendFileSync(from, ' and more');
}
`;

test('a step whose input changed under it has failed, and the next build runs it again', async () => {
  const project = new TestProject(`
targets:
  made:
    rule: command
    from: in.txt
    run: [${process.execPath}, edit.mjs, "{in}", "{out}"]
    out: out.txt
`);
  project.write('edit.mjs', SCRIPT);
  project.write('in.txt', 'some');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['made']);
  assert.match(stepOf(result, 'made').error ?? '', /in\.txt changed while made read it/);
  assert.not.ok(project.exists('out.txt'));
  assert.equal(project.leftovers(), []);
  assert.equal(idsWith(await project.plan(), 'run'), ['made']);
  assert.equal(idsWith(await project.build(), 'ran'), ['made']);
  assert.is(project.read('out.txt').toString(), 'some and more');
  assert.is((await project.build()).fresh, 1);
});

/** Other values in the same file, with the size and the mtime that it had. */
function rewriteUnseen(path: string): void {
  const { mtime, atime, size } = statSync(path);
  const handle = openSync(path, 'r+');
  writeSync(handle, Buffer.from([1, 2, 3, 4]), 0, 4, size - 4);
  closeSync(handle);
  utimesSync(path, atime, mtime);
}

test('a run rewritten right after a build, with equal size and mtime, is noticed', async () => {
  const project = new TestProject(`
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
`);
  await project.writeRun('A/r1', { seed: 1 });
  const npy = project.path('consolidated_data/runs/A/r1/embeddings.npy');
  // A whole second, as after unpacking an archive: nothing of the mtime is lost in setting it back.
  utimesSync(npy, 1_700_000_000, 1_700_000_000);
  await project.build();
  rewriteUnseen(npy);
  assert.is(statSync(npy).mtimeMs, 1_700_000_000_000);
  const result = await project.build();
  assert.is(stepOf(result, 'reference').reason, 'run A/r1 changed');
  assert.equal(
    [...project.reference().rowsOf('A/r1').slice(-1)],
    [...new Float32Array(Uint8Array.of(1, 2, 3, 4).buffer)],
  );
});

/** A file whose stat never changes, whatever is in it: what a coarse clock makes of two writes in one tick. */
class FrozenFile {
  content = 'first';
  readings = 0;
  constructor(readonly stampMs: number) {}

  digests(nowMs: () => number): Digests {
    const stampNs = BigInt(this.stampMs) * 1_000_000n;
    const stat = {
      kind: 'file',
      size: 5,
      mtimeNs: stampNs,
      ctimeNs: stampNs,
      ino: 1n,
    } as const;
    const port = { stat: () => stat, readText: () => undefined } as unknown as Port;
    const digester: Digester = {
      files: (path) => [path],
      digest: async () => {
        this.readings += 1;
        return { digest: this.content };
      },
    };
    const clock = new FileClock(port, '/', nowMs);
    return new Digests(port, '/', new Map([['file', digester]]), '/none', { save: false, clock });
  }
}

const FILE = { kind: 'file', path: 'a' };

test('a digest taken in the tick of the last change is taken again', async () => {
  // Not a whole second: the file system keeps fine times, and a tick is 20 ms.
  const file = new FrozenFile(1_700_000_000_123);
  let now = file.stampMs + 10;
  const digests = file.digests(() => now);
  assert.is((await digests.get(FILE))?.digest, 'first');
  file.content = 'other';
  now += 60_000;
  assert.is((await digests.get(FILE))?.digest, 'other');
  // This one was taken long after the change, and is believed.
  await digests.get(FILE);
  assert.is(file.readings, 2);
});

test('where times are whole seconds, a digest is believed only after two', async () => {
  const file = new FrozenFile(1_700_000_000_000);
  let now = file.stampMs + 1500;
  const digests = file.digests(() => now);
  await digests.get(FILE);
  file.content = 'other';
  now += 10_000;
  assert.is((await digests.get(FILE))?.digest, 'other');
  await digests.get(FILE);
  assert.is(file.readings, 2);
});

test('a file from the future is never believed', async () => {
  const file = new FrozenFile(1_700_000_000_123);
  const digests = file.digests(() => file.stampMs - 3_600_000);
  await digests.get(FILE);
  file.content = 'other';
  assert.is((await digests.get(FILE))?.digest, 'other');
});

test.run();
