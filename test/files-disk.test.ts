/** The disk behind the port, where it has to do more than pass a call on. */
import { chmodSync, chownSync } from 'node:fs';
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

test.run();
