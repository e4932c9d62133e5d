/** One line of progress on a terminal, redrawn; nothing anywhere else. */
import { cutTo, formatBytes } from './text.js';

const REDRAW_MS = 100;

export interface ProgressLine {
  /** `total` undefined: nobody knows yet. Both in bytes. */
  show(what: string, done: number, total: number | undefined): void;
  /** Before anything else is printed. */
  clear(): void;
}

export function progressLine(): ProgressLine {
  let drawnAt = 0;
  let drawn = false;
  return {
    show(what, done, total) {
      const now = performance.now();
      if (!process.stderr.isTTY || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      drawn = true;
      const share =
        total === undefined || total === 0
          ? ''
          : ` of ${formatBytes(total)} (${Math.floor((done / total) * 100)}%)`;
      const line = cutTo(`${what}: ${formatBytes(done)}${share}`, (process.stderr.columns || 80) - 1);
      process.stderr.write(`\r\u001b[2K${line}`);
    },
    clear() {
      if (drawn) process.stderr.write('\r\u001b[2K');
      drawn = false;
    },
  };
}
