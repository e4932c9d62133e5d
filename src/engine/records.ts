/**
 * The records of finished steps: the latest of each, and earlier ones by key so that going back is a restore.
 * A hint and never the truth: every record is checked against the outputs before it is believed.
 */
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { LogWriter, readLog, rewriteLog } from './log-file.js';
import { isObject, isRecord } from './record-shape.js';
import type { StepRecord } from './types.js';

/** Raise when a record's meaning changes. Older logs are dropped (a rebuild), newer ones are refused. */
const FORMAT = 1;
/** Bytes of a log that is worth looking at whether most of it is outdated. */
const COMPACT_FROM = 8 * 1024 * 1024;
/** Earlier records kept for each step. */
const HISTORY = 20;

/** A line of the log: these files were removed, and what stands there later is not by these records. */
interface Forgotten {
  forget: string[];
}

export class Records {
  private readonly latest = new Map<string, StepRecord>();
  private readonly writtenBy = new Map<string, StepRecord>();
  private readonly history = new Map<string, StepRecord[]>();
  /** Ids of records in the order of the log. */
  private readonly order = new Set<string>();
  private readonly log: LogWriter;
  private lines = 0;
  private outdated = false;
  private beginning: Promise<void> | undefined;

  constructor(
    private readonly port: Port,
    private readonly file: string,
  ) {
    this.log = new LogWriter(port, file);
    const { entries } = readLog(port, file);
    this.lines = entries.length;
    const [head] = entries as ({ firn?: string; format?: number } | null | undefined)[];
    if (typeof head?.format === 'number' && head.format > FORMAT) {
      throw new FirnError(
        'conflict',
        `was written by a newer firn (format ${head.format}, this one knows ${FORMAT})`,
        {
          path: file,
          advice: 'Use that firn, or delete the cache folder: everything is checked and built again.',
        },
      );
    }
    if (entries.length > 0 && head?.format !== FORMAT) {
      this.outdated = true;
      return;
    }
    for (const entry of entries.slice(1)) {
      if (isForgotten(entry) || isRecord(entry)) this.take(entry);
    }
  }

  private take(entry: StepRecord | Forgotten): void {
    if (isForgotten(entry)) {
      for (const path of entry.forget) this.writtenBy.delete(path);
      return;
    }
    const record = entry;
    this.latest.set(record.step, record);
    for (const output of record.outputs) this.writtenBy.set(output.path, record);
    const id = idOf(record);
    this.order.delete(id);
    this.order.add(id);
    const history = this.history.get(record.step)?.filter((old) => old.key !== record.key) ?? [];
    // Going back needs the key and the outputs; what explains a step is needed of its latest build only.
    for (const [i, old] of history.entries()) history[i] = { ...old, manifest: [], state: undefined };
    history.push(record);
    history.splice(0, Math.max(0, history.length - HISTORY));
    this.history.set(record.step, history);
  }

  /** The record of a step's last build. */
  of(step: string): StepRecord | undefined {
    return this.latest.get(step);
  }

  /** The build of a step, of whatever age, that had this key. */
  withKey(step: string, key: string): StepRecord | undefined {
    return this.history.get(step)?.find((record) => record.key === key);
  }

  /** The record that names this output, of whatever step; none when it was forgotten since. */
  forOutput(path: string): StepRecord | undefined {
    return this.writtenBy.get(path);
  }

  /** Digest of the bytes last recorded for an output. */
  bytesOf(path: string): string | undefined {
    const output = this.forOutput(path)?.outputs.find((other) => other.path === path);
    return output?.stored ?? output?.digest;
  }

  all(): StepRecord[] {
    return [...this.latest.values()];
  }

  /** Every record, the latest of each step last, by step. */
  histories(): ReadonlyMap<string, readonly StepRecord[]> {
    return this.history;
  }

  /** Whether some file is known to be firn's by this record only. */
  isWriter(record: StepRecord): boolean {
    const id = idOf(record);
    return record.outputs.some(({ path }) => {
      const writer = this.writtenBy.get(path);
      return writer !== undefined && idOf(writer) === id;
    });
  }

  /** Drops records for good, and rewrites the log. A step that loses its latest is as if it had never been built. */
  async drop(dropped: readonly StepRecord[]): Promise<void> {
    const gone = new Set(dropped.map(idOf));
    const isGone = (record: StepRecord): boolean => gone.has(idOf(record));
    for (const [step, records] of [...this.history]) {
      const kept = records.filter((record) => !isGone(record));
      if (kept.length === 0) this.history.delete(step);
      else this.history.set(step, kept);
    }
    for (const [path, record] of [...this.writtenBy]) if (isGone(record)) this.writtenBy.delete(path);
    for (const [step, record] of [...this.latest]) if (isGone(record)) this.latest.delete(step);
    await this.compact();
  }

  /** As `add`, until the program ends: for a plan over what a build will find. */
  assume(record: StepRecord): void {
    this.take(record);
  }

  add(record: StepRecord): Promise<void> {
    return this.write(record);
  }

  /** For outputs that were removed: their steps stay known, but a file that comes there is not firn's. */
  async forget(paths: readonly string[]): Promise<void> {
    const known = paths.filter((path) => this.writtenBy.has(path));
    if (known.length > 0) await this.write({ forget: known });
  }

  private async write(entry: StepRecord | Forgotten): Promise<void> {
    if (this.lines === 0 || this.outdated) {
      // Steps end side by side: a second beginning would put a new file under the name, and the first one's lines out of it.
      this.beginning ??= this.begin();
      await this.beginning;
    }
    this.take(entry);
    this.lines += 1;
    await this.log.append(entry);
  }

  private async begin(): Promise<void> {
    try {
      await rewriteLog(this.port, this.file, [{ firn: 'records', format: FORMAT }]);
      this.lines = 1;
      this.outdated = false;
    } finally {
      this.beginning = undefined;
    }
  }

  async close(): Promise<void> {
    await this.log.close();
    // Where there is no room the log stays as it is, which says the same.
    if (this.isMostlyOutdated()) await this.compact().catch(() => undefined);
  }

  private isMostlyOutdated(): boolean {
    const kept = [...this.history.values()].flat();
    if (this.lines > 2 * kept.length + 1000) return true;
    const bytes = this.port.stat(this.file)?.size ?? 0;
    if (bytes < COMPACT_FROM) return false;
    return bytes > 2 * kept.reduce((sum, record) => sum + JSON.stringify(record).length, 0);
  }

  private async compact(): Promise<void> {
    await this.log.close();
    // In their order, since of two steps that wrote one file the later record counts.
    const byId = new Map([...this.history.values()].flat().map((record) => [idOf(record), record]));
    const records = [...this.order].flatMap((id) => byId.get(id) ?? []);
    const written = new Set(records.flatMap((record) => record.outputs.map((output) => output.path)));
    const forget = [...written].filter((path) => !this.writtenBy.has(path));
    await rewriteLog(this.port, this.file, [
      { firn: 'records', format: FORMAT },
      ...records,
      ...(forget.length === 0 ? [] : [{ forget }]),
    ]);
    this.lines = records.length + 1;
  }
}

/** Two steps have one key where a target was renamed. */
function idOf({ step, key }: StepRecord): string {
  return `${step}\0${key}`;
}

function isForgotten(entry: unknown): entry is Forgotten {
  return isObject(entry) && Array.isArray(entry.forget);
}
