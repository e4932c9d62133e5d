/**
 * What a check finds: how bad it is, where, what is wrong and what to do. All codes stand here; docs/reference.md explains
 * each, and a test compares the two. Knows no check.
 */

import { FirnError } from '../errors.js';
import { adviceFor, reasonOf, textOf } from '../system-errors.js';

/**
 * error: a build or a search fails, answers wrongly, or data may be lost. warning: not as it should be, and nothing fails
 * for it yet. advice: nothing is wrong, and something could be better.
 */
export type Severity = 'error' | 'warning' | 'advice';

export const CODES = {
  'pipeline-missing': 'advice',
  'pipeline-invalid': 'error',
  'pipeline-warning': 'warning',
  'target-empty': 'warning',
  'program-missing': 'error',
  'package-missing': 'error',
  'build-blocked': 'error',
  'output-edited': 'warning',
  unreadable: 'error',
  'runs-missing': 'error',
  'runs-empty': 'error',
  'run-misplaced': 'warning',
  'run-misnamed': 'warning',
  'run-without-array': 'warning',
  'run-ignored': 'warning',
  'run-unusable': 'error',
  'run-no-rows': 'warning',
  'run-not-finite': 'error',
  'run-duplicate': 'warning',
  'archive-stub': 'error',
  'archive-damaged': 'error',
  'archive-unfinished': 'warning',
  'archive-missing': 'advice',
  'run-conflict': 'error',
  'copy-unusable': 'warning',
  'dims-differ': 'error',
  'run-facts-damaged': 'warning',
  'version-dims': 'error',
  'version-conflict': 'error',
  'version-missing': 'warning',
  'registry-invalid': 'error',
  'content-changed': 'error',
  'temporary-left': 'warning',
  'time-future': 'warning',
  'reference-incomplete': 'error',
  'reference-unusable': 'error',
  'reference-rows': 'error',
  'reference-metadata': 'error',
  'reference-altered': 'error',
  'reference-retained': 'advice',
  'reference-foreign': 'advice',
  'release-damaged': 'error',
  'index-missing': 'advice',
  'index-behind': 'advice',
  'index-drifted': 'advice',
  'index-flat': 'advice',
  'index-unusable': 'error',
  'index-altered': 'error',
  'index-unused': 'warning',
  'index-recall': 'advice',
  'index-nprobe': 'warning',
  'cache-unreadable': 'error',
  'cache-newer': 'error',
  'cache-damaged': 'advice',
  'cache-object': 'warning',
  'cache-full': 'advice',
  'commit-pending': 'warning',
  'lock-held': 'advice',
  'lock-left': 'warning',
  'lock-unknown': 'warning',
  'disk-full': 'error',
  'disk-inodes': 'error',
  'disk-read-only': 'error',
  'disk-permission': 'error',
  'folder-blocked': 'error',
  'disk-network': 'advice',
  'storage-compress': 'advice',
  'storage-archive': 'advice',
  'node-old': 'error',
  'memory-short': 'warning',
  'onnxruntime-missing': 'warning',
  'open-files': 'warning',
  'inotify-few': 'advice',
  'check-failed': 'error',
} as const satisfies { [code: string]: Severity };

export type Code = keyof typeof CODES;

export interface Finding {
  severity: Severity;
  code: Code;
  /** Relative to the project where it is in it; null for what has no place, such as the memory of the machine. */
  path: string | null;
  /** What is wrong; it may have several lines. */
  message: string;
  /** What to do: an exact command in backticks where there is one, for the folder of the project. */
  remedy: string;
}

export function finding(code: Code, path: string | null, message: string, remedy: string): Finding {
  return { severity: CODES[code], code, path, message, remedy };
}

/** The finding that an error is; `remedy` where the error has no advice of its own. */
export function findingOf(code: Code, path: string | null, error: unknown, remedy: string): Finding {
  if (error instanceof FirnError) {
    return finding(code, path, error.message, error.advice === undefined ? remedy : asSentence(error.advice));
  }
  const advice = adviceFor(error);
  return advice === undefined
    ? finding(code, path, textOf(error), remedy)
    : finding(code, path, reasonOf(error), advice);
}

function asSentence(text: string): string {
  // Not a name such as faiss-node.
  const capital = /^[a-z]+[ ,:]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.?!)]$/.test(capital) || capital.includes('\n') ? capital : `${capital}.`;
}
