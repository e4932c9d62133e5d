/** Which folders are runs, and what is passed over. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { ReadPort } from '../src/files/port.js';
import { discoverRuns } from '../src/runs/discover.js';
import { temporaryFolder } from './rig/folder.js';

const s = suite('discovering runs');

/** A runs folder with these files; a path that ends in `/` is a folder. */
function runsDir(...paths: string[]): string {
  const root = temporaryFolder();
  for (const path of paths) {
    mkdirSync(join(root, path.slice(0, path.lastIndexOf('/') + 1)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(root, path), path);
  }
  return root;
}

s('runs hold a .npy, a .npz or both, and come by name in code-unit order', () => {
  const root = runsDir(
    'b/1/embeddings.npz',
    'a/2024-12-01/embeddings.npy',
    'a/2024-12-01/embeddings.npz',
    'a-b/x/embeddings.npy',
    'a/Z/embeddings.npy',
    'a/empty/',
    'a/other/embeddings.npy.bak',
    'README.md',
    'a/notes.txt',
  );
  const { runs, ignored } = discoverRuns(disk, root);
  assert.equal(
    runs.map(({ name, npy, npz }) => [name, npy?.size, npz?.size]),
    [
      ['a-b/x', 20, undefined],
      ['a/2024-12-01', 27, 27],
      ['a/Z', 18, undefined],
      ['b/1', undefined, 18],
    ],
  );
  const [first] = runs;
  assert.equal([first!.dataset, first!.run, first!.directory], ['a-b', 'x', join(root, 'a-b', 'x')]);
  assert.equal(first!.npy, disk.stat(join(root, 'a-b/x/embeddings.npy')));
  assert.equal(ignored, []);
});

s('no runs folder has no runs', () => {
  assert.equal(discoverRuns(disk, join(tmpdir(), 'firn-none', 'none')), {
    runs: [],
    archived: [],
    ignored: [],
  });
});

s('hidden names are no runs', () => {
  const root = runsDir('.firn-tmp-1/x/embeddings.npy', 'a/.b/embeddings.npy', 'a/c/.embeddings.npy');
  assert.equal(discoverRuns(disk, root), { runs: [], archived: [], ignored: [] });
});

s('hostile names are names', () => {
  const names = ['$(touch X)', '-la', 'new\nline', '\u001b[31m', '__proto__', 'caf\u00e9', '\ufffd'];
  const root = runsDir(...names.map((name) => `${name}/${name}/embeddings.npy`));
  const { runs, ignored } = discoverRuns(disk, root);
  assert.equal(
    runs.map(({ name }) => name),
    names.map((name) => `${name}/${name}`).sort(),
  );
  assert.equal(ignored, []);
});

s('links are not followed, wherever they lead, and are reported', () => {
  const outside = runsDir('x/embeddings.npy');
  const root = runsDir('a/1/embeddings.npy', 'a/2/', 'README.md');
  const link = (from: string, to: string) => symlinkSync(to, join(root, from));
  link('a/latest', '1');
  link('a/out', join(outside, 'x'));
  link('b', outside);
  link('broken', 'nowhere');
  link('loop', 'loop');
  link('a/2/embeddings.npy', '../1/embeddings.npy');
  link('readme', 'README.md');
  const { runs, ignored } = discoverRuns(disk, root);
  assert.equal(
    runs.map(({ name }) => name),
    ['a/1'],
  );
  assert.equal(ignored.map(({ path }) => path.slice(root.length + 1)).sort(), [
    'a/2/embeddings.npy',
    'a/latest',
    'a/out',
    'b',
    'broken',
    'loop',
  ]);
  for (const { reason } of ignored) assert.match(reason, /is a link/);
});

s('an array that is no file, or stands in the wrong folder, is reported', () => {
  const root = runsDir('a/1/embeddings.npy/x', 'a/1/embeddings.npz', 'a/embeddings.npy', 'embeddings.npz');
  mkdirSync(join(root, 'a/pipe'));
  execFileSync('mkfifo', [join(root, 'a/pipe/embeddings.npy')]);
  const { runs, ignored } = discoverRuns(disk, root);
  assert.equal(
    runs.map(({ name, npy, npz }) => [name, npy !== undefined, npz !== undefined]),
    [['a/1', false, true]],
  );
  assert.equal(
    ignored.map(({ path, reason }) => [path.slice(root.length + 1), reason.slice(0, 9)]),
    [
      ['embeddings.npz', 'is no run'],
      ['a/embeddings.npy', 'is no run'],
      ['a/1/embeddings.npy', 'is not a '],
      ['a/pipe/embeddings.npy', 'is not a '],
    ],
  );
});

s('a folder whose name is not UTF-8 is reported', () => {
  const root = runsDir('a/1/embeddings.npy');
  mkdirSync(Buffer.concat([Buffer.from(`${root}/a/`), Buffer.from([0x66, 0xf8])]));
  const { runs, ignored } = discoverRuns(disk, root);
  assert.is(runs.length, 1);
  assert.is(ignored.length, 1);
  assert.match(ignored[0]!.reason, /not UTF-8/);
});

s('a run costs one listing and one stat an array', () => {
  const root = runsDir(
    'a/1/embeddings.npy',
    'a/2/embeddings.npz',
    'a/2/embeddings.npy',
    'b/1/embeddings.npy',
  );
  const calls = { list: 0, stat: 0 };
  const port: ReadPort = {
    ...disk,
    list(path) {
      calls.list += 1;
      return disk.list(path);
    },
    stat(path) {
      calls.stat += 1;
      return disk.stat(path);
    },
  };
  discoverRuns(port, root);
  assert.equal(calls, { list: 1 + 2 + 3, stat: 4 });
});

s.run();
