/** Which reporter suits standard error. */
import type { Listener } from '../../engine/events.js';
import { plainReporter } from './plain.js';
import { terminalReporter } from './terminal.js';

export function chooseReporter(explain: boolean): Listener {
  const plain = plainReporter(explain);
  return process.stderr.isTTY && process.env.TERM !== 'dumb' && !process.env.CI
    ? terminalReporter(plain)
    : plain;
}
