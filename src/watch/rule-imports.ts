/**
 * Files that a project's rules import. Node loads such a file once in the life of a program, so a watch would go on with
 * what it held before, and record that under a new version. Rules themselves are loaded by their content. Knows no step.
 */
import { basename, join } from 'node:path';
import type { ReadPort } from '../files/port.js';

const FOLDER = 'rules';

export class RuleImports {
  private readonly atFirst: ReadonlyMap<string, string>;
  private found: string | undefined;

  /** To be made before any rule is loaded. */
  constructor(
    private readonly port: ReadPort,
    private readonly root: string,
  ) {
    this.atFirst = this.stats();
  }

  /** The file, if there is one, that has changed since it may have been loaded. Once found, it stays so. */
  changed(): string | undefined {
    if (this.atFirst.size < 2 || this.found !== undefined) return this.found;
    const now = this.stats();
    const changed = [...this.atFirst].filter(([path, stat]) => now.get(path) !== stat).map(([path]) => path);
    this.found = changed.find((path) =>
      [...now.keys()].some((other) => other !== path && this.names(other, path)),
    );
    return this.found;
  }

  private names(file: string, imported: string): boolean {
    return this.port.readText(join(this.root, file))?.includes(basename(imported)) ?? false;
  }

  private stats(): Map<string, string> {
    const stats = new Map<string, string>();
    const visit = (folder: string): void => {
      for (const { name, kind } of this.port.list(join(this.root, folder))) {
        const path = `${folder}/${name}`;
        if (kind === 'directory') visit(path);
        const stat = kind === 'file' ? this.port.stat(join(this.root, path)) : undefined;
        if (stat !== undefined) stats.set(path, [stat.size, stat.mtimeNs, stat.ino].join(' '));
      }
    };
    visit(FOLDER);
    return stats;
  }
}
