/** Which reporter suits standard error. */
import type { Listener } from '../../engine/events.js';
import { plainReporter } from './plain.js';
import { terminalReporter } from './terminal.js';

/** Whether a line may be drawn over. */
export function isTerminal(): boolean {
  return process.stderr.isTTY && process.env.TERM !== 'dumb' && !process.env.CI;
}

export function chooseReporter(explain: boolean): Listener {
  const plain = plainReporter(explain);
  return isTerminal() ? terminalReporter(plain) : plain;
}
