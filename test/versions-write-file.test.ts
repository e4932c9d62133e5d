/** Replacing a file as a whole: whatever fails, the old file or the new one is there and nothing else. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { writeFileAtomic } from '../src/files/write-file.js';
import { temporaryFolder } from './rig/folder.js';

const s = suite('writing a file as a whole');

function folderWith(content: string): { folder: string; path: string } {
  const folder = temporaryFolder();
  const path = join(folder, 'registry.json');
  writeFileSync(path, content);
  return { folder, path };
}

/** The disk, whose operation number `at` fails; a failing write writes half. Operations are noted in `done`. */
function failing(at: number, done: string[], code = 'ENOSPC'): Port {
  const step = (name: string) => {
    done.push(name);
    if (done.length === at) throw Object.assign(new Error(`${code}: injected`), { code });
  };
  return {
    ...disk,
    async create(path) {
      step('create');
      const handle = await disk.create(path);
      return {
        path,
        async write(data) {
          try {
            step('write');
          } catch (error) {
            await handle.write(data.subarray(0, data.length / 2));
            throw error;
          }
          await handle.write(data);
        },
        async sync() {
          step('sync');
          await handle.sync();
        },
        async close() {
          await handle.close();
          step('close');
        },
      };
    },
    async rename(from, to) {
      step('rename');
      await disk.rename(from, to);
    },
    async syncDirectory(path) {
      step('syncDirectory');
      await disk.syncDirectory(path);
    },
  };
}

const ORDER = ['create', 'write', 'sync', 'close', 'rename', 'syncDirectory'];

s('written, synced, closed, renamed, and the folder synced, in this order', async () => {
  const { folder, path } = folderWith('old');
  const done: string[] = [];
  await writeFileAtomic(failing(0, done), path, 'n\u00e9w');
  assert.equal(done, ORDER);
  assert.is(readFileSync(path, 'utf8'), 'n\u00e9w');
  await writeFileAtomic(disk, path, new Uint8Array([0, 255]));
  assert.equal([...readFileSync(path)], [0, 255]);
  assert.equal(readdirSync(folder), ['registry.json']);
});

ORDER.forEach((operation, i) => {
  s(
    `${operation} fails: the old file is whole, no other is left, and the error says what is needed`,
    async () => {
      const { folder, path } = folderWith('old');
      try {
        await writeFileAtomic(failing(i + 1, []), path, 'something new');
        assert.unreachable();
      } catch (error) {
        assert.instance(error, FirnError);
        const { kind, path: named, advice } = error as FirnError;
        assert.equal([kind, named], ['failed', path]);
        assert.match(advice!, /13 bytes/);
      }
      assert.equal(readdirSync(folder), ['registry.json']);
      assert.is(readFileSync(path, 'utf8'), operation === 'syncDirectory' ? 'something new' : 'old');
    },
  );
});

s('who might read and write the old file still may', async () => {
  const { path } = folderWith('old');
  for (const mode of [0o664, 0o600, 0o444]) {
    chmodSync(path, mode);
    await writeFileAtomic(disk, path, 'new');
    assert.is(statSync(path).mode & 0o777, mode);
  }
});

s('a failed sync is not repeated', async () => {
  const { path } = folderWith('old');
  const done: string[] = [];
  await writeFileAtomic(failing(3, done, 'EIO'), path, 'new').catch(() => undefined);
  assert.equal(done, ['create', 'write', 'sync', 'close']);
});

s('many writers at once: each succeeds, and one content is there whole', async () => {
  const { folder, path } = folderWith('old');
  const contents = Array.from({ length: 30 }, (_, i) => String(i).repeat(5000));
  await Promise.all(contents.map((content) => writeFileAtomic(disk, path, content)));
  assert.ok(contents.includes(readFileSync(path, 'utf8')));
  assert.equal(readdirSync(folder), ['registry.json']);
});

s('a missing folder is named, and nothing is made', async () => {
  const { folder } = folderWith('old');
  const path = join(folder, 'none', 'file');
  try {
    await writeFileAtomic(disk, path, 'new');
    assert.unreachable();
  } catch (error) {
    assert.is((error as FirnError).path, path);
    assert.is((error as FirnError).advice, 'Make the folder, or name another place.');
  }
  assert.equal(readdirSync(folder), ['registry.json']);
});

s.run();
