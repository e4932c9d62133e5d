/**
 * What a power cut may leave of a folder. It follows what has been synced: the bytes of each file at its last fsync, and
 * the names in each folder at the folder's last fsync. POSIX promises no more than that, and file systems differ in what
 * they keep beyond it; so several states are possible at each moment, and firn has to get along with each.
 */
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Port, WriteHandle, WritePort } from '../../src/files/port.js';

/**
 * `lost`: nothing is there that was not synced. `names kept`: every new name is there and every old one gone, but files
 * hold only what was synced, so new ones are empty. `removals kept`: new names are not there, and yet what was unlinked is
 * gone. A rename happens or does not. `cache lost`: names are kept, but nothing in cache/ that was not synced, for folders
 * do not reach the disk in any order.
 */
export const SURVIVALS = ['lost', 'names kept', 'removals kept', 'cache lost'] as const;
export type Survival = (typeof SURVIVALS)[number];

class File {
  /** Since its last fsync; undefined as long as the file is as it was in the beginning. */
  constructor(public synced: Uint8Array | { from: string }) {}
}

class Folder {
  synced = new Map<string, Node>();
}

/** A symbolic link: what it says is part of its name's folder, and synced with it. */
class Link {
  constructor(readonly says: string) {}
}

type Node = File | Folder | Link;

export class PowerCut {
  /** Everything that has a name now. An inode that is freed is forgotten, since another file may get its number. */
  private readonly nodes = new Map<bigint, Node>();
  private readonly unlinked = new Set<Node>();
  private readonly top: Folder;

  /** `origin` is another copy of `root` as it is now, all of it synced. */
  constructor(
    private readonly root: string,
    origin: string,
  ) {
    this.top = this.learn(root, origin) as Folder;
  }

  private learn(path: string, origin: string): Node {
    const stat = lstatSync(path, { bigint: true });
    const node: Node = stat.isSymbolicLink()
      ? new Link(readlinkSync(path))
      : stat.isDirectory()
        ? new Folder()
        : new File({ from: origin });
    this.nodes.set(stat.ino, node);
    if (node instanceof Folder) {
      for (const name of readdirSync(path))
        node.synced.set(name, this.learn(join(path, name), join(origin, name)));
    }
    return node;
  }

  /** The port, watched. Nothing is really synced: that the machine goes on as before costs no time. */
  watch(port: Port): Port {
    const view: WritePort = {
      makeDirectory: (path) => port.makeDirectory(path),
      removeAll: (path) => port.removeAll(path),
      probe: (directory) => port.probe(directory),
      copy: (from, to, reflinkOnly) => port.copy(from, to, reflinkOnly),
      setTimes: (path, mtimeMs) => port.setTimes(path, mtimeMs),
      setMode: (path, mode) => port.setMode(path, mode),
      link: (target, path) => port.link(target, path),
      hardLink: (path, to) => port.hardLink(path, to),
      create: async (path) => this.watchHandle(await port.create(path)),
      append: async (path) => this.watchHandle(await port.append(path)),
      rename: async (from, to) => {
        const replaced = isOnlyName(to) ? inodeAt(to) : undefined;
        await port.rename(from, to);
        if (replaced !== undefined) this.nodes.delete(replaced);
      },
      unlink: (path) => this.removing(path, () => port.unlink(path)),
      removeDirectory: (path) => this.removing(path, () => port.removeDirectory(path)),
      sync: async (path) => {
        this.fileAt(path).synced = readFileSync(path);
      },
      syncDirectory: async (path) => {
        const folder = this.nodeAt(path) as Folder;
        folder.synced = new Map(readdirSync(path).map((name) => [name, this.nodeAt(join(path, name))]));
      },
    };
    return Object.assign(Object.create(port) as Port, view);
  }

  private async removing(path: string, remove: () => Promise<void>): Promise<void> {
    const inode = inodeAt(path);
    const node = inode === undefined ? undefined : this.nodeAt(path);
    const last = isOnlyName(path);
    await remove();
    if (inode === undefined || node === undefined || !last) return;
    this.nodes.delete(inode);
    this.unlinked.add(node);
  }

  private watchHandle(handle: WriteHandle): WriteHandle {
    const file = this.fileAt(handle.path);
    return {
      path: handle.path,
      write: (data, position) => handle.write(data, position),
      sync: async () => {
        // By now it may have another name; the open file knows.
        file.synced = readFileSync(`/proc/self/fd/${handle.fd}`);
      },
      close: () => handle.close(),
    };
  }

  private nodeAt(path: string): Node {
    const stat = lstatSync(path, { bigint: true });
    const known = this.nodes.get(stat.ino);
    const isSame =
      known instanceof Folder === stat.isDirectory() && known instanceof Link === stat.isSymbolicLink();
    if (known !== undefined && isSame) return known;
    if (stat.isSymbolicLink()) return this.newNode(stat.ino, new Link(readlinkSync(path)));
    const node = stat.isDirectory() ? new Folder() : new File(new Uint8Array());
    this.nodes.set(stat.ino, node);
    return node;
  }

  private newNode(ino: bigint, node: Node): Node {
    this.nodes.set(ino, node);
    return node;
  }

  private fileAt(path: string): File {
    return this.nodeAt(path) as File;
  }

  /** Writes to `target`, which must not exist, what is left if the power goes now. */
  leave(target: string, survival: Survival): void {
    this.leaveFolder(this.top, this.root, target, survival);
  }

  private leaveFolder(folder: Folder, now: string | undefined, target: string, survival: Survival): void {
    mkdirSync(target);
    const inCache = survival === 'cache lost' ? 'lost' : survival;
    const present = new Map(
      now === undefined
        ? []
        : readdirSync(now).map((name): [string, Node] => [name, this.nodeAt(join(now, name))]),
    );
    let names: Map<string, Node>;
    if (survival === 'names kept' || survival === 'cache lost') names = present;
    else if (survival === 'lost') names = folder.synced;
    else names = new Map([...folder.synced].filter(([, node]) => !this.unlinked.has(node)));
    for (const [name, node] of names) {
      const path = join(target, name);
      if (node instanceof File) leaveFile(node, path);
      else if (node instanceof Link) symlinkSync(node.says, path);
      // A folder that was moved is looked at where it is now, if it has a name there.
      else this.leaveFolder(node, this.placeOf(node, now, name), path, name === 'cache' ? inCache : survival);
    }
  }

  private placeOf(node: Folder, parent: string | undefined, name: string): string | undefined {
    const path = parent === undefined ? undefined : join(parent, name);
    if (path !== undefined && inodeAt(path) !== undefined && this.nodeAt(path) === node) return path;
    return findFolder(this.root, (found) => this.nodeAt(found) === node);
  }
}

function leaveFile({ synced }: File, path: string): void {
  if (synced instanceof Uint8Array) writeFileSync(path, synced);
  else copyFileSync(synced.from, path);
}

/** Whether nothing else is a name of what is there. */
function isOnlyName(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat === undefined || stat.isDirectory() || stat.nlink === 1;
}

function inodeAt(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function findFolder(root: string, holds: (path: string) => boolean): string | undefined {
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory() && dirname(path) !== path && holds(path)) return path;
  }
  return undefined;
}
