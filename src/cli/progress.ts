/** One line of progress on a terminal, redrawn; nothing elsewhere. Knows no work. */
import { cutTo, formatBytes, safe } from './text.js';

const REDRAW_MS = 100;

export interface ProgressLine {
  /** `name` is data; `done` of `total` bytes. */
  update(name: string, doing: string, done: number, total: number): void;
  /** Before anything else is printed, and at the end. */
  erase(): void;
}

export function progressLine(): ProgressLine {
  const shown = process.stderr.isTTY === true && process.env.TERM !== 'dumb' && process.env.CI === undefined;
  let drawnAt = 0;
  let drawn = false;
  return {
    update(name, doing, done, total) {
      const now = performance.now();
      if (!shown || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      drawn = true;
      const percent = total === 0 ? '' : ` ${Math.min(100, Math.floor((done / total) * 100))}%`;
      const text = `${safe(name)}: ${doing}${percent}, ${formatBytes(done)}`;
      process.stderr.write(`\r\u001b[2K${cutTo(text, (process.stderr.columns || 80) - 1)}`);
    },
    erase() {
      if (drawn) process.stderr.write('\r\u001b[2K');
      drawn = false;
    },
  };
}
