/** A disk that holds one file, in memory. */
import type { ReadPort } from '../../src/files/port.js';

export function memoryPort(bytes: Uint8Array): ReadPort {
  const stat = { kind: 'file', size: bytes.length, mtimeNs: 0n, ctimeNs: 0n, ino: 1n } as const;
  return {
    stat: () => stat,
    list: () => [],
    readText: () => Buffer.from(bytes).toString('utf8'),
    realPath: (path) => path,
    space: () => undefined,
    readLink: () => undefined,
    refusal: () => undefined,
    open: async (path) => ({
      path,
      size: bytes.length,
      read: async (into, position) => {
        const piece = bytes.subarray(position, position + into.length);
        into.set(piece);
        return piece.length;
      },
      stat: async () => stat,
      close: async () => {},
    }),
  };
}
