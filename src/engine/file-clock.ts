/**
 * What time it is for the file system: by which of its stamps a file is surely older than now. The clock of this machine
 * says nothing about that: a server stamps its own files, and a clock may be set. So a file is made and looked at. Knows
 * no digest.
 */
import { dirname } from 'node:path';
import type { FileStat, Port } from '../files/port.js';

/** Kernels stamp files with a clock that lags by up to a tick; some file systems keep whole seconds only. */
const TICK_NS = 20_000_000n;
const SECOND_NS = 1_000_000_000n;
/** By how much the stamps of another file system may differ from those of the one that was asked. */
const APART_NS = 60n * SECOND_NS;
/** A look at the clock serves for so long, if it shows late enough a time. */
const FRESH_MS = 1000;

export class FileClock {
  private passed = 0n;
  private looking: Promise<bigint> | undefined;
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** The file system of the folder, or of the one above where it is not there yet. */
  readonly dev: bigint | undefined;

  /** `now`: milliseconds since 1970, for where nothing may be written: then the clock of this machine has to do. */
  constructor(
    private readonly port: Port,
    private readonly directory: string,
    private readonly now?: () => number,
  ) {
    this.dev = (port.stat(directory) ?? port.stat(dirname(directory)))?.dev;
  }

  /** A time that has passed, in ns since 1970, as late as `wanted` when that is past; 0 where the file system does not tell. */
  async after(wanted: bigint): Promise<bigint> {
    if (this.now !== undefined) return BigInt(Math.floor(this.now())) * 1_000_000n;
    const isFresh = performance.now() - this.lookedAt < FRESH_MS;
    if (isFresh && this.passed >= wanted) return this.passed;
    // One look serves all who ask meanwhile.
    this.looking ??= this.look().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async look(): Promise<bigint> {
    this.passed = await this.port.probe(this.directory).then(
      ({ mtimeNs }) => mtimeNs,
      () => 0n,
    );
    this.lookedAt = performance.now();
    return this.passed;
  }
}

/**
 * From when on, in ns since 1970, a change of the file could not be missed within one tick. `dev`: the file system by
 * whose clock that is.
 */
export function safeAfter(stat: FileStat, dev: bigint | undefined): bigint {
  const changed = settled(stat.mtimeNs);
  const renamed = settled(stat.ctimeNs);
  const safe = changed > renamed ? changed : renamed;
  return stat.dev === dev ? safe : safe + APART_NS;
}

function settled(time: bigint): bigint {
  return time + (time % SECOND_NS === 0n ? 2n * SECOND_NS : TICK_NS);
}
