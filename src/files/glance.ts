/**
 * The disk as it was at first sight: what was listed or looked up once is not asked for again, and a name that a listing
 * did not show is not there. For looking at many files in one go, thrown away afterwards; what is written or waited for in
 * the meantime would not show. Knows nothing above a file.
 */
import { sep } from 'node:path';
import type { DirectoryEntry, FileStat, Port } from './port.js';

/** A longer listing is asked for a name through a set. */
const SHORT = 8;

export function glanceAt(port: Port): Port {
  const stats = new Map<string, FileStat | undefined>();
  const listings = new Map<string, DirectoryEntry[]>();
  const names = new Map<string, Set<string>>();

  const isAbsent = (path: string): boolean => {
    const end = path.lastIndexOf(sep);
    const folder = path.slice(0, end);
    const listing = listings.get(folder);
    // Without a single name it may be no folder at all, and was not read.
    if (listing === undefined || listing.length === 0) return false;
    const name = path.slice(end + 1);
    if (listing.length <= SHORT) return !listing.some((entry) => entry.name === name);
    let known = names.get(folder);
    if (known === undefined) {
      known = new Set(listing.map((entry) => entry.name));
      names.set(folder, known);
    }
    return !known.has(name);
  };

  const view: Partial<Port> = {
    stat(path) {
      const known = stats.get(path);
      if (known !== undefined) return known;
      if (isAbsent(path) || stats.has(path)) return undefined;
      const stat = port.stat(path);
      stats.set(path, stat);
      return stat;
    },
    list(path) {
      const known = listings.get(path);
      if (known !== undefined) return known;
      const listing = port.list(path);
      listings.set(path, listing);
      return listing;
    },
    readText: (path, limit) => (isAbsent(path) ? undefined : port.readText(path, limit)),
  };
  return Object.assign(Object.create(port) as Port, view);
}
