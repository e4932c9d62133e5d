/** The disk behind the port, where it has to do more than pass a call on. */
import { chmodSync, chownSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { TestProject } from './rig/project.js';

const test = suite('disk');
const NOBODY = 65534;

test('a file that may only be read is synced by its owner, as a program may have left it', async () => {
  const folder = new TestProject();
  folder.write('out.txt', 'made');
  chmodSync(folder.root, 0o755);
  chmodSync(folder.path('out.txt'), 0o400);
  const root = process.geteuid?.() === 0;
  if (root) chownSync(folder.path('out.txt'), NOBODY, NOBODY);
  // Root may write whatever the mode says.
  if (root) process.seteuid?.(NOBODY);
  try {
    await disk.sync(folder.path('out.txt'));
    const refused = await disk.append(folder.path('out.txt')).then(
      () => false,
      () => true,
    );
    assert.ok(refused, 'a handle for writing would have been refused');
  } finally {
    if (root) process.seteuid?.(0);
  }
});

test('what was lost while it was sent to the disk early is told by the next write and by the sync', async () => {
  const folder = new TestProject();
  const probe = await open(folder.path('probe'), 'w');
  const handles = Object.getPrototypeOf(probe) as { datasync(): Promise<void> };
  await probe.close();
  const real = handles.datasync;
  const lost = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  handles.datasync = async () => {
    throw lost;
  };
  try {
    const file = await disk.create(folder.path('big'));
    // Enough to be sent on the way.
    await file.write(new Uint8Array(65 * 1024 * 1024));
    for (const next of [() => file.sync(), () => file.write(new Uint8Array(1)), () => file.sync()]) {
      assert.is(
        await next().then(
          () => 'went well',
          (error: NodeJS.ErrnoException) => error.code,
        ),
        'EIO',
      );
    }
    await file.close();
  } finally {
    handles.datasync = real;
  }
});

test('a file that lost its end before it was synced is told', async () => {
  const folder = new TestProject();
  const file = await disk.create(folder.path('cut'));
  await file.write(new Uint8Array(10));
  await file.write(new Uint8Array(5), 20);
  truncateSync(folder.path('cut'), 24);
  const refused = await file.sync().then(
    () => 'went well',
    (error: Error) => error.message,
  );
  assert.is(refused, 'has 24 bytes on disk, and 25 were written');
  await file.close();
});

test('a folder is made with its parents, and told when something else is in its place', async () => {
  const folder = new TestProject();
  await disk.makeDirectory(folder.path('a/b/c'));
  await disk.makeDirectory(folder.path('a/b/c'));
  assert.is(disk.stat(folder.path('a/b/c'))?.kind, 'directory');
  folder.write('file', '');
  for (const [path, code] of [
    ['file', 'EEXIST'],
    ['file/below', 'ENOTDIR'],
  ]) {
    const refused = await disk
      .makeDirectory(folder.path(path))
      .catch((error: NodeJS.ErrnoException) => error.code);
    assert.is(refused, code);
  }
});

test('a folder that the file system does not let be made is an error, and not waited for', async () => {
  if (process.platform !== 'linux') return;
  for (const path of ['/proc/firn-none', '/proc/firn-none/below']) {
    const code = await disk.makeDirectory(path).then(
      () => 'made',
      (error: NodeJS.ErrnoException) => error.code,
    );
    assert.is(code, 'ENOENT', path);
  }
});

test.run();
