/**
 * References by their headers: array, metadata and index, each with what it says or why it cannot be read. Knows no
 * check.
 */
import { join } from 'node:path';
import { type IndexHeader, readIndexHeader } from '../faiss/header.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { FileStat, ReadPort } from '../files/port.js';
import { type ReferenceFacts, readMetadata } from '../reference/metadata.js';
import { type ArrayLook, lookAtArray } from './run-looks.js';

export interface IndexLook {
  /** Absolute. */
  path: string;
  stat: FileStat;
  header?: IndexHeader;
  trailer?: Trailer | undefined;
  error?: unknown;
}

export interface ReferenceLook {
  /** Relative to the project. */
  directory: string;
  /** `reference`: of an older system, which firn only searches. */
  prefix: 'consolidated' | 'reference';
  array: ArrayLook | undefined;
  metadata:
    | {
        /** Absolute. */
        path: string;
        stat: FileStat;
        /** Undefined when another program wrote it, or it cannot be read. */
        facts: ReferenceFacts | undefined;
        error?: unknown;
      }
    | undefined;
  index: IndexLook | undefined;
}

/** What is in a folder of the project that may be a reference; undefined when nothing of one is there. */
export async function lookAtReference(
  port: ReadPort,
  root: string,
  directory: string,
): Promise<ReferenceLook | undefined> {
  for (const prefix of ['consolidated', 'reference'] as const) {
    const at = (rest: string): string => join(root, directory, `${prefix}_${rest}`);
    const file = (path: string): FileStat | undefined => {
      const stat = port.stat(path);
      return stat?.kind === 'file' ? stat : undefined;
    };
    const [array, metadata, index] = ['embeddings.npy', 'metadata.json', 'index.faiss'].map(at);
    const [arrayStat, metadataStat, indexStat] = [array, metadata, index].map(file);
    if (arrayStat === undefined && metadataStat === undefined) continue;
    return {
      directory,
      prefix,
      array: arrayStat && (await lookAtArray(port, array, arrayStat)),
      metadata: metadataStat && {
        path: metadata,
        stat: metadataStat,
        ...(await lookAtMetadata(port, metadata)),
      },
      index: indexStat && (await lookAtIndex(port, index, indexStat)),
    };
  }
  return undefined;
}

async function lookAtMetadata(
  port: ReadPort,
  path: string,
): Promise<{ facts: ReferenceFacts | undefined; error?: unknown }> {
  try {
    return { facts: await readMetadata(port, path) };
  } catch (error) {
    return { facts: undefined, error };
  }
}

async function lookAtIndex(port: ReadPort, path: string, stat: FileStat): Promise<IndexLook> {
  try {
    return { path, stat, header: await readIndexHeader(port, path), trailer: await readTrailer(port, path) };
  } catch (error) {
    return { path, stat, error };
  }
}
