/** Reads a known number of bytes, and says so when they are not there. Knows no format. */
import { FirnError } from '../errors.js';
import type { ReadHandle } from '../files/port.js';

/** Fills `into` from `position`; a FirnError when the file ends before, as when another program truncates it. */
export async function readExactly(handle: ReadHandle, into: Uint8Array, position: number): Promise<void> {
  const read = await handle.read(into, position);
  if (read === into.byteLength) return;
  throw endedEarly(handle.path, position + read, position + into.byteLength);
}

/** For a file that was longer when it was opened. */
export function endedEarly(path: string, end: number, expected: number): FirnError {
  return new FirnError('input', `ended at byte ${end}, before byte ${expected}`, {
    path,
    advice: 'It became shorter while it was read: wait until nothing writes it, then try again.',
  });
}
