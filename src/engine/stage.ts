/**
 * Where outputs are written before they have their final names: a hidden folder beside each, so that the last move is
 * a rename in one file system. Knows outputs by path only.
 */
import { createHash, randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port } from '../files/port.js';
import { removeTree } from '../files/remove.js';
import { isStaged, TEMPORARY_PREFIX } from '../files/temporary.js';
import type { Output, Step } from './types.js';

export interface Move {
  /** Both relative to the project. */
  from: string;
  to: string;
}

/** The staging folders of one step. */
export class Stage {
  private readonly folder: string;
  private readonly madeParents = new Set<string>();

  constructor(
    private readonly port: Port,
    private readonly root: string,
    private readonly step: Step,
  ) {
    const id = createHash('sha256').update(step.id).digest('hex').slice(0, 12);
    // Not the pid: containers give the same one again.
    this.folder = `${TEMPORARY_PREFIX}${id}-${randomBytes(6).toString('hex')}`;
  }

  /** Relative to the project. The file keeps its name, for programs that go by the extension. */
  pathOf(output: Output): string {
    return `${dirname(output.path)}/${this.folder}/${basename(output.path)}`;
  }

  /** A file that only the step itself needs; relative to the project. */
  scratchPath(): string {
    return `${dirname(this.step.outputs[0].path)}/${this.folder}/${randomBytes(6).toString('hex')}`;
  }

  get moves(): Move[] {
    return this.step.outputs.map((output) => ({ from: this.pathOf(output), to: output.path }));
  }

  /** Makes the folders, empty. */
  async open(): Promise<void> {
    for (const parent of this.parents()) {
      for (let above = parent; above !== '.' && !this.isThere(above); above = dirname(above))
        this.madeParents.add(join(this.root, above));
      await makeDurableDirectory(this.port, join(this.root, parent));
      await this.port.makeDirectory(join(this.root, parent, this.folder));
    }
  }

  /** Removes the folders and whatever is left in them. */
  async close(): Promise<void> {
    for (const parent of this.parents()) await removeTree(this.port, join(this.root, parent, this.folder));
    // A failed first build leaves no empty folders behind; one that holds something stays. The innermost go first.
    for (const parent of [...this.madeParents].sort((a, b) => b.length - a.length)) {
      if (this.port.list(parent).length === 0) await this.port.removeDirectory(parent).catch(() => undefined);
    }
  }

  private isThere(folder: string): boolean {
    return this.port.stat(join(this.root, folder)) !== undefined;
  }

  private parents(): Set<string> {
    return new Set(this.step.outputs.map((output) => dirname(output.path)));
  }
}

/** Removes the staging folders that a killed build left beside the outputs of these steps, but for those `needed`. */
export async function removeLeftovers(
  port: Port,
  root: string,
  steps: readonly Step[],
  needed: ReadonlySet<string>,
): Promise<void> {
  const parents = new Set(
    steps.flatMap((step) => step.outputs.map((output) => join(root, dirname(output.path)))),
  );
  for (const parent of parents) {
    for (const { name, kind } of port.list(parent)) {
      const folder = join(parent, name);
      if (kind === 'directory' && isStaged(name) && !needed.has(folder)) await removeTree(port, folder);
    }
  }
}
