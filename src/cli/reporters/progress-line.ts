/** One line of progress on a terminal, drawn over until it goes; nothing anywhere else. Knows bytes and no work. */
import { cutTo, formatBytes, formatSeconds } from '../text.js';

const REDRAW_MS = 100;
/** What is drawn below this share is too early to tell the time left from. */
const EARLY = 0.02;

export interface ProgressLine {
  show(what: string, done: number, total: number): void;
  clear(): void;
}

export function progressLine(): ProgressLine {
  const isOn = process.stderr.isTTY && process.env.TERM !== 'dumb' && !process.env.CI;
  const began = performance.now();
  let drawnAt = Number.NEGATIVE_INFINITY;
  let drawn = false;
  return {
    show(what, done, total) {
      const now = performance.now();
      if (!isOn || total <= 0 || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      const width = (process.stderr.columns || 80) - 1;
      process.stderr.write(`\r\u001b[2K${cutTo(lineOf(what, done, total, (now - began) / 1000), width)}`);
      drawn = true;
    },
    clear() {
      if (drawn) process.stderr.write('\r\u001b[2K');
      drawn = false;
    },
  };
}

function lineOf(what: string, done: number, total: number, seconds: number): string {
  const share = Math.min(1, done / total);
  const text = `${formatBytes(done)} of ${formatBytes(total)} ${what}, ${Math.floor(share * 100)}%`;
  if (share < EARLY || seconds < 0.5) return text;
  return `${text}, ${formatBytes(done / seconds)}/s, ${formatSeconds(((1 - share) / share) * seconds)} left`;
}
