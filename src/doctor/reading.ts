/** How many bytes are going to be read when every byte is: for progress that only goes forward. An estimate; reads headers. */
import { join } from 'node:path';
import { findReleases } from '../release/find.js';
import { storedFiles } from './cache.js';
import type { DoctorContext } from './context.js';

export async function bytesToRead(context: DoctorContext): Promise<number> {
  const { port, root, opening } = context;
  let bytes = 0;
  for (const { npy, npz } of (await context.looks()).values())
    bytes += (npy?.stat.size ?? 0) + (npz?.stat.size ?? 0);
  const digested = new Set<string>();
  for (const { array, metadata, index } of await context.references()) {
    if (array === undefined || metadata === undefined) continue;
    // The rows once for their digests, and with those of the index once more.
    bytes += array.stat.size * (index === undefined ? 1 : 3);
    for (const { path } of [array, metadata]) digested.add(path);
  }
  for (const step of context.steps) {
    for (const { path, kind } of context.engine()?.records.of(step.id)?.outputs ?? [])
      if (kind === 'file') digested.add(join(root, path));
  }
  if (!context.isLimited) for (const { path } of storedFiles(context)) digested.add(path);
  for (const path of digested) bytes += port.stat(path)?.size ?? 0;
  for (const { directory } of await findReleases(port, { root, pipeline: opening.pipeline ?? {} })) {
    if (!context.includes(context.shown(directory))) continue;
    for (const { name } of port.list(directory)) bytes += port.stat(join(directory, name))?.size ?? 0;
  }
  return bytes;
}
