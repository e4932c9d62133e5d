/**
 * The directory of a release while it is made: hidden, beside its final name, which it gets in one rename when it is
 * complete and read-only. What is left of earlier tries goes first. Knows nothing of what is in it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { FirnError } from '../errors.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port } from '../files/port.js';
import { removeHalfWritten, removeTree } from '../files/remove.js';
import { TEMPORARY_PREFIX } from '../files/temporary.js';

const LABEL = `${TEMPORARY_PREFIX}release-`;
const LEFTOVER = new RegExp(`^\\${LABEL}[0-9a-f]{12}-[0-9a-f]{12}$`);
const FILE_MODE = 0o444;
const DIRECTORY_MODE = 0o555;
const OPEN_MODE = 0o755;
/** In the names of archives that are not finished. */
const ARCHIVE_LABEL = 'archive';

/** The same of one release. */
export function archiveLabel(stem: string): string {
  return `${ARCHIVE_LABEL}-${shortOf(stem)}`;
}

function shortOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 12);
}

/** An error about what is not finished, with the name that people know. */
export function underFinalName(error: unknown, staging: string, final: string): unknown {
  if (!(error instanceof FirnError) || !error.path?.startsWith(staging)) return error;
  const { kind, message, advice, cause } = error;
  const path = final + error.path.slice(staging.length);
  return new FirnError(kind, message, { path, ...(advice === undefined ? {} : { advice }), cause });
}

export class ReleasePlace {
  private readonly prefix: string;
  private readonly madeParents: string[] = [];
  private placed = false;
  /** Absolute; where the files are written. */
  readonly staging: string;

  constructor(
    private readonly port: Port,
    /** The folder of releases, absolute. */
    private readonly folder: string,
    private readonly name: string,
  ) {
    this.prefix = `${LABEL}${shortOf(name)}-`;
    this.staging = join(folder, `${this.prefix}${randomBytes(6).toString('hex')}`);
  }

  get final(): string {
    return join(this.folder, this.name);
  }

  /** For whoever holds the project's lock: nobody else makes this release. */
  async open(): Promise<void> {
    for (let above = this.folder; this.port.stat(above) === undefined; above = dirname(above))
      this.madeParents.push(above);
    for (const { name, kind } of this.port.list(this.folder)) {
      if (kind === 'directory' && name.startsWith(this.prefix))
        await removeReadOnly(this.port, join(this.folder, name));
    }
    await makeDurableDirectory(this.port, this.folder);
    await this.port.makeDirectory(this.staging);
  }

  /** Closes the directory for writing and gives it its name. `links`: names in it, and the files they lead to. */
  async place(files: readonly string[], links: readonly [link: string, file: string][]): Promise<void> {
    const { port, staging } = this;
    for (const name of files) await port.setMode(join(staging, name), FILE_MODE);
    for (const [link, file] of links) await linkWherePossible(port, file, join(staging, link));
    await port.setMode(staging, DIRECTORY_MODE);
    await port.syncDirectory(staging);
    await port.rename(staging, this.final);
    this.placed = true;
    await port.syncDirectory(this.folder);
  }

  /** After a failure: as if nothing had been begun. Does nothing once the directory has its name. */
  async discard(): Promise<void> {
    if (this.placed) return;
    if (this.port.stat(this.staging) !== undefined) await removeReadOnly(this.port, this.staging);
    for (const parent of this.madeParents) {
      if (this.port.list(parent).length === 0) await this.port.removeDirectory(parent).catch(() => undefined);
    }
  }
}

/** Removes what killed releases of any name left in a folder; for whoever makes the only one. */
export async function sweepReleases(port: Port, folder: string): Promise<void> {
  for (const { name, kind } of port.list(folder)) {
    if (kind === 'directory' && LEFTOVER.test(name)) await removeReadOnly(port, join(folder, name));
  }
  await removeHalfWritten(port, folder, ARCHIVE_LABEL);
}

/** Removes a directory that may be closed for writing; for those who are not root that takes its mode first. */
async function removeReadOnly(port: Port, directory: string): Promise<void> {
  await port.setMode(directory, OPEN_MODE);
  for (const { name, kind } of port.list(directory)) {
    if (kind === 'directory') await removeReadOnly(port, join(directory, name));
  }
  await removeTree(port, directory);
}

/** Some file systems have no links; a release is whole without. */
async function linkWherePossible(port: Port, target: string, path: string): Promise<void> {
  try {
    await port.link(target, path);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(String(code))) throw error;
  }
}
