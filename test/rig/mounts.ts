/**
 * File systems of a test's own: a small one in memory, that is soon full, and an ext4 in a file, which can be copied while
 * it is in use, as a power cut would leave it. Both need rights that not every machine gives.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MEMORY, temporaryFolder } from './folder.js';

function run(program: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) return `${program} cannot be run: ${error.message}`;
  return status === 0 ? undefined : `${program} ${args.join(' ')}: ${stderr.trim().split('\n')[0]}`;
}

function must(program: string, ...args: string[]): void {
  const problem = run(program, ...args);
  if (problem !== undefined) throw new Error(problem);
}

const mounted = new Set<string>();
// Before the folders go.
process.prependListener('exit', () => {
  for (const path of mounted) run('umount', '--lazy', path);
});

function mount(path: string, ...args: string[]): string | undefined {
  mkdirSync(path, { recursive: true });
  const problem = run('mount', ...args, path);
  if (problem === undefined) mounted.add(path);
  return problem;
}

export function unmount(path: string): void {
  must('umount', path);
  mounted.delete(path);
}

/** Where `bytes` fit, and no more. */
export class SmallDisk {
  readonly path = join(temporaryFolder(), 'small');

  constructor(bytes: number) {
    const problem = mount(this.path, '-t', 'tmpfs', '-o', `size=${bytes}`, 'firn-test');
    if (problem !== undefined) throw new Error(problem);
  }

  resize(bytes: number): void {
    must('mount', '-t', 'tmpfs', '-o', `remount,size=${bytes}`, 'firn-test', this.path);
  }
}

/**
 * Runs the calling test file again in a mount namespace of its own, and ends as that one does: its file systems go with it,
 * however it ends. Who is not root becomes it in there. Where that is not allowed, returns.
 */
export function inMountNamespace(file: string): void {
  if (process.env.FIRN_TEST_UNSHARED !== undefined) return;
  const root = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const unshare = [...root, '--mount'];
  if (run('unshare', ...unshare, 'mount', '-t', 'tmpfs', 'firn-test', tmpdir()) !== undefined) return;
  const env = { ...process.env, FIRN_TEST_UNSHARED: '1' };
  const { status } = spawnSync('unshare', [...unshare, process.execPath, fileURLToPath(file)], {
    stdio: 'inherit',
    env,
  });
  process.exit(status ?? 1);
}

/** Why no file system can be mounted here; undefined when it can. */
export function mountLacks(): string | undefined {
  try {
    unmount(new SmallDisk(65_536).path);
    return undefined;
  } catch (error) {
    return `nothing can be mounted here: ${(error as Error).message}`;
  }
}

/**
 * An ext4 in a file. It writes back by itself only after five minutes, and does not mend programs that forget to sync
 * (`noauto_da_alloc`): what is in the file is what was synced, and what went along with it.
 */
export class Ext4 {
  private readonly folder = temporaryFolder(MEMORY);
  readonly path = join(this.folder, 'mounted');
  private readonly image = join(this.folder, 'image');
  private copies = 0;

  constructor(megabytes: number) {
    must('truncate', '-s', `${megabytes}M`, this.image);
    must('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.image);
    const problem = mount(this.path, '-o', 'loop,noauto_da_alloc,commit=300', this.image);
    if (problem !== undefined) throw new Error(problem);
  }

  /** What is left when the power goes now, mounted; the journal is played back as after a restart. */
  cutPower(): { path: string; discard(): void } {
    this.copies += 1;
    const image = join(this.folder, `copy-${this.copies}`);
    const path = join(this.folder, `after-${this.copies}`);
    must('cp', '--sparse=always', this.image, image);
    const problem = mount(path, '-o', 'loop', image);
    if (problem !== undefined) throw new Error(problem);
    return {
      path,
      discard: () => {
        unmount(path);
        rmSync(image);
      },
    };
  }

  discard(): void {
    unmount(this.path);
    rmSync(this.image);
  }
}

/** Why an ext4 cannot be made and mounted here; undefined when it can. */
export function ext4Lacks(): string | undefined {
  try {
    new Ext4(8).discard();
    return undefined;
  } catch (error) {
    return `no ext4 can be made and mounted here: ${(error as Error).message}`;
  }
}
