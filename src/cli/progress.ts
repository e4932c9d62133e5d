/** One line of progress on a terminal, for commands that are no builds; nothing elsewhere. */
import { canDraw } from './main.js';
import { cutTo, formatBytes, formatCount, safe } from './text.js';

const REDRAW_MS = 100;

export interface ProgressLine {
  show(done: number, total: number, unit: string): void;
  /** Erases it: before anything else is printed. */
  end(): void;
}

export function progressLine(label: string): ProgressLine {
  const draws = canDraw();
  let drawnAt = 0;
  let drawn = false;
  return {
    show(done, total, unit) {
      const now = performance.now();
      if (!draws || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      drawn = true;
      const percent = total > 0 ? `${Math.floor((100 * Math.min(done, total)) / total)}%, ` : '';
      const amount = unit.startsWith('bytes') ? formatBytes(done) : formatCount(done);
      const width = (process.stderr.columns || 80) - 1;
      process.stderr.write(
        `\r\u001b[2K${cutTo(`${safe(label)} ${percent}${amount} ${safe(unit.replace(/^bytes ?/, ''))}`.trimEnd(), width)}`,
      );
    },
    end() {
      if (drawn) process.stderr.write('\r\u001b[2K');
      drawn = false;
    },
  };
}
