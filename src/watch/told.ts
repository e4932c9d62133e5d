/** What was told already: a problem, a warning and what is waited for are told when they come, and not at every look. */
import { relative } from 'node:path';
import type { Project } from '../project.js';
import { textOf } from '../system-errors.js';
import type { WaitedFor, WatchEvent } from './events.js';
import type { Unsettled } from './settling.js';

export class Told {
  private readonly problems = new Map<string, string>();
  private warned: ReadonlySet<string> = new Set();
  private waitedFor = '[]';

  constructor(private readonly tell: (event: WatchEvent) => void) {}

  /** `of`: where it arises; undefined when there is none any more. */
  problem(of: 'pipeline' | 'build', error: unknown, goesOn: boolean): void {
    if (error === undefined) {
      if (this.problems.delete(of) && this.problems.size === 0) this.tell({ type: 'mended' });
      return;
    }
    const text = textOf(error);
    if (this.problems.get(of) === text) return;
    this.problems.set(of, text);
    this.tell({ type: 'problem', error, goesOn });
  }

  warnings(
    { root, warnings, ignored }: Pick<Project, 'root' | 'warnings' | 'ignored'>,
    more: string[],
  ): void {
    const passed = ignored.map(({ path, reason }) => `passed over ${relative(root, path)}: it ${reason}`);
    const now = new Set([...warnings, ...passed, ...more]);
    for (const message of now) if (!this.warned.has(message)) this.tell({ type: 'warning', message });
    this.warned = now;
  }

  waiting(unsettled: readonly Unsettled[]): void {
    const inputs: WaitedFor[] = unsettled.map(({ name, missing }) => ({
      name,
      ...(missing === undefined ? {} : { missing }),
    }));
    const text = JSON.stringify(inputs);
    if (text === this.waitedFor) return;
    this.waitedFor = text;
    this.tell({ type: 'waiting', inputs });
  }
}
