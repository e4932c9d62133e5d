/**
 * A build for the log of GitHub Actions: the plain reporter's lines, those of a step in a group that folds, warnings and
 * errors as annotations. Groups cannot lie in one another, so of steps that run side by side one is shown as it goes,
 * and the lines of the others wait.
 */
import type { Listener } from '../../engine/events.js';
import { placeOf, workflowCommand } from '../github.js';
import { errorText, note, noteCommand, print } from '../main.js';
import { safe } from '../text.js';
import { lineOf, summaryLine } from './plain.js';

/** Characters that wait for a step; with more, its group takes the place of the one that is open. */
const MOST_WAITING = 64 * 1024;

/** `directory`: the project's, which paths in errors are seen from. */
export function githubReporter(explain: boolean, directory: string): Listener {
  const groups = new Groups();
  return (event) => {
    const line = lineOf(event, explain);
    switch (event.type) {
      case 'start':
      case 'log':
        groups.add(event.step, line ?? '');
        break;
      case 'warning':
        noteCommand(workflowCommand('warning', event.message, { title: event.step ?? 'firn build' }));
        break;
      case 'finish': {
        const { id, status, error } = event.outcome;
        groups.finish(id);
        if (status !== 'failed') {
          if (line !== undefined) note(line);
          break;
        }
        note(`[${event.finished}/${event.steps}] FAILED ${safe(id)}`);
        noteCommand(workflowCommand('error', errorText(error), { title: id, ...placeOf(error, directory) }));
        break;
      }
      case 'end':
        print(summaryLine(event.summary));
        break;
      default:
        if (line !== undefined) note(line);
        break;
    }
  };
}

class Groups {
  private open: string | undefined;
  private readonly waiting = new Map<string, { lines: string[]; size: number; again: boolean }>();

  add(step: string, line: string): void {
    this.open ??= this.begin(step);
    if (this.open === step) {
      note(line);
      return;
    }
    const held = this.heldOf(step);
    held.lines.push(line);
    held.size += line.length;
    if (held.size > MOST_WAITING) this.turnTo(step);
  }

  /** Shows what waits for the step, and leaves no group open: what became of it is told outside. */
  finish(step: string): void {
    if (this.waiting.get(step)?.lines.length) this.turnTo(step);
    if (this.open !== undefined) this.end();
    this.waiting.delete(step);
  }

  private turnTo(step: string): void {
    if (this.open === step) return;
    if (this.open !== undefined) this.end();
    this.open = this.begin(step);
  }

  private begin(step: string): string {
    const held = this.heldOf(step);
    noteCommand(workflowCommand('group', held.again ? `${step} (goes on)` : step));
    for (const line of held.lines) note(line);
    Object.assign(held, { lines: [], size: 0, again: true });
    return step;
  }

  private end(): void {
    noteCommand(workflowCommand('endgroup'));
    this.open = undefined;
  }

  private heldOf(step: string): { lines: string[]; size: number; again: boolean } {
    const held = this.waiting.get(step) ?? { lines: [], size: 0, again: false };
    this.waiting.set(step, held);
    return held;
  }
}
