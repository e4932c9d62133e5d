/** Signs of changes in folders: what happens in a folder that is followed is told, whatever happened to it before. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { watchFolders } from '../src/watch/folders.js';
import { temporaryFolder } from './rig/folder.js';

const test = suite('watch folders');

/** Awaits what is told; a sign that does not come lets the test file reach its limit. */
class Signs {
  readonly root = temporaryFolder();
  private readonly hints = new Set<string>();
  private ready = 0;
  private wake: () => void = () => undefined;
  readonly watch = watchFolders({
    onHint: (path) => {
      this.hints.add(path.slice(this.root.length + 1));
      this.wake();
    },
    onReady: (count) => {
      this.ready = count;
      this.wake();
    },
    onLimit: (error) => {
      throw error;
    },
  });

  path(name: string): string {
    return join(this.root, name);
  }

  async follow(...folders: string[]): Promise<void> {
    this.ready = -1;
    this.watch.follow(folders.map((folder) => this.path(folder)));
    await this.until(() => this.ready >= 0);
  }

  /** Until there was a sign at this path since the last time. */
  async hint(path: string): Promise<void> {
    await this.until(() => this.hints.has(path));
    this.hints.clear();
  }

  private async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

test('files that are written, made and removed, in folders that come and go', async () => {
  const signs = new Signs();
  mkdirSync(signs.path('A/r1'), { recursive: true });
  writeFileSync(signs.path('A/r1/x'), '1');
  await signs.follow('A', 'A/r1');
  writeFileSync(signs.path('A/r1/x'), '2');
  await signs.hint('A/r1/x');
  writeFileSync(signs.path('A/r1/$(touch y)\n\\'), '2');
  await signs.hint('A/r1/$(touch y)\n\\');
  rmSync(signs.path('A/r1/x'));
  await signs.hint('A/r1/x');
  mkdirSync(signs.path('A/r2'));
  await signs.hint('A/r2');
  await signs.follow('A', 'A/r1', 'A/r2');
  writeFileSync(signs.path('A/r2/.x.npy~'), '1');
  await signs.hint('A/r2/.x.npy~');
  rmSync(signs.path('A/r2'), { recursive: true });
  await signs.hint('A/r2');
  signs.watch.follow(['A', 'A/r1'].map((folder) => signs.path(folder)));
  mkdirSync(signs.path('A/r2'));
  await signs.hint('A/r2');
  await signs.follow('A', 'A/r1', 'A/r2');
  writeFileSync(signs.path('A/r2/x'), '1');
  await signs.hint('A/r2/x');
  await signs.watch.close();
});

test('a folder in the place of another one, and folders below it', async () => {
  const signs = new Signs();
  for (const folder of ['A/r1', 'new/r1', 'newer']) mkdirSync(signs.path(folder), { recursive: true });
  await signs.follow('A', 'A/r1');
  renameSync(signs.path('A'), signs.path('old'));
  renameSync(signs.path('new'), signs.path('A'));
  await signs.hint('A/A');
  await signs.follow('A', 'A/r1');
  writeFileSync(signs.path('A/r1/x'), '1');
  await signs.hint('A/r1/x');
  renameSync(signs.path('A/r1'), signs.path('older'));
  renameSync(signs.path('newer'), signs.path('A/r1'));
  await signs.hint('A/r1');
  await signs.follow('A', 'A/r1');
  writeFileSync(signs.path('A/r1/y'), '1');
  await signs.hint('A/r1/y');
  await signs.watch.close();
});

test('a folder that is not there keeps nobody waiting, and is watched once it is there', async () => {
  const signs = new Signs();
  mkdirSync(signs.path('A'));
  await signs.follow('', 'A', 'B');
  mkdirSync(signs.path('B'));
  await signs.hint('B');
  await signs.follow('', 'A', 'B');
  writeFileSync(signs.path('B/x'), '1');
  await signs.hint('B/x');
  await signs.watch.close();
  // Twice, and after the end: nothing happens.
  signs.watch.follow([signs.path('A')]);
  await signs.watch.close();
  assert.ok(true);
});

test('names that a watcher may take for another path or a pattern', async () => {
  const signs = new Signs();
  const names = ['back\\slash', 'back\\slash/in it', '*', '[a]{b,c}', '!no', '-x', ' ', 'ü\u0308', '..x'];
  for (const name of names) mkdirSync(signs.path(name), { recursive: true });
  await signs.follow(...names);
  for (const name of names) {
    writeFileSync(signs.path(`${name}/x`), '1');
    await signs.hint(`${name}/x`);
  }
  await signs.watch.close();
});

test('hundreds of folders at once', async () => {
  const signs = new Signs();
  const folders = Array.from({ length: 300 }, (_, i) => `D${i % 7}/r${i}`);
  for (const folder of folders) mkdirSync(signs.path(folder), { recursive: true });
  await signs.follow(...folders);
  for (const folder of folders) {
    writeFileSync(signs.path(`${folder}/x`), '1');
    await signs.hint(`${folder}/x`);
  }
  await signs.watch.close();
});

test.run();
