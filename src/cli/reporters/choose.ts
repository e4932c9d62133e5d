/** Which reporter suits standard error. */
import type { Listener } from '../../engine/events.js';
import { isGitHubLog } from '../github.js';
import { canDraw } from '../main.js';
import { githubReporter } from './github.js';
import { plainReporter } from './plain.js';
import { terminalReporter } from './terminal.js';

/** `directory`: the project's. */
export function chooseReporter(explain: boolean, directory: string): Listener {
  if (isGitHubLog()) return githubReporter(explain, directory);
  const plain = plainReporter(explain);
  return canDraw() ? terminalReporter(plain) : plain;
}
