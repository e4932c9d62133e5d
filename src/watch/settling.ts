/**
 * Which inputs are still being written. An input counts as written once it has stayed the same for some time and lacks
 * nothing. One that was settled and then goes away is waited for in the same way: it may be about to be replaced.
 * Decides by what it is told; knows neither the disk nor a clock.
 */

/** An input as it is on the disk. */
export interface Sighting {
  /** As `inputId` gives it. */
  id: string;
  /** Relative to the project. */
  path: string;
  /** How people know it. */
  name: string;
  /** Changes when the stat of any of its files does. */
  signature: string;
  /** The files themselves say that nobody has written them lately. */
  isOld: boolean;
  /** Ids of the steps that read it. */
  readers: readonly string[];
}

export interface Unsettled {
  id: string;
  path: string;
  name: string;
  /** It was settled before, so leaving it out would be to take it away. */
  isKnown: boolean;
  /** It was there before, and is not now. */
  isGone: boolean;
  /** Those that read it now, and those that read it when it was last settled. */
  readers: ReadonlySet<string>;
  missing: string | undefined;
  /** When it will have stayed the same for long enough; undefined when it has, but lacks something. */
  until: number | undefined;
}

interface Entry {
  path: string;
  name: string;
  /** '' when it is gone. */
  signature: string;
  since: number;
  isChecked: boolean;
  missing: string | undefined;
  wasSettled: boolean;
  /** The next change is not somebody else's. */
  isExpected: boolean;
  readers: readonly string[];
  settledReaders: readonly string[];
}

export class Settling {
  private readonly entries = new Map<string, Entry>();
  private isFirst = true;

  /** `settleMs`: how long an input has to stay the same. */
  constructor(private readonly settleMs: number) {}

  /** All inputs there are at `at` (milliseconds of any steady clock). The ids of those whose content has to be looked into. */
  see(sightings: readonly Sighting[], at: number): string[] {
    const unchecked: string[] = [];
    const gone = new Set(this.entries.keys());
    for (const sighting of sightings) {
      gone.delete(sighting.id);
      const entry = this.entries.get(sighting.id) ?? this.enter(sighting, at);
      entry.readers = sighting.readers;
      if (entry.signature !== sighting.signature) {
        this.change(entry, sighting.signature, entry.isExpected ? Number.NEGATIVE_INFINITY : at);
        entry.isChecked = false;
      }
      entry.isExpected = false;
      if (!entry.isChecked) unchecked.push(sighting.id);
    }
    for (const id of gone) this.leave(id, at);
    this.isFirst = false;
    return unchecked;
  }

  private enter({ id, path, name, signature, isOld, readers }: Sighting, at: number): Entry {
    const entry: Entry = {
      path,
      name,
      signature,
      // Only at the beginning: later the order of things is known better than by the clock of another machine.
      since: this.isFirst && isOld ? Number.NEGATIVE_INFINITY : at,
      isChecked: false,
      missing: undefined,
      wasSettled: false,
      isExpected: false,
      readers,
      settledReaders: [],
    };
    this.entries.set(id, entry);
    return entry;
  }

  private leave(id: string, at: number): void {
    const entry = this.entries.get(id) as Entry;
    if (!entry.wasSettled || (entry.signature === '' && this.isStill(entry, at))) {
      this.entries.delete(id);
    } else if (entry.signature !== '') {
      this.change(entry, '', entry.isExpected ? Number.NEGATIVE_INFINITY : at);
      entry.isChecked = true;
      entry.readers = [];
    }
  }

  private change(entry: Entry, signature: string, since: number): void {
    entry.signature = signature;
    entry.since = since;
    entry.missing = undefined;
  }

  private isStill(entry: Entry, at: number): boolean {
    return at - entry.since >= this.settleMs;
  }

  /** What was found out about the content of an input that `see` asked about. */
  check(id: string, missing: string | undefined): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    entry.isChecked = true;
    entry.missing = missing;
  }

  /** Those that are not settled at `at`. */
  unsettled(at: number): Unsettled[] {
    const found: Unsettled[] = [];
    for (const [id, entry] of this.entries) {
      const isStill = this.isStill(entry, at);
      if (isStill && entry.missing === undefined) {
        entry.wasSettled = true;
        entry.settledReaders = entry.readers;
        if (entry.signature === '') this.entries.delete(id);
        continue;
      }
      const { path, name, signature, missing, wasSettled, readers, settledReaders } = entry;
      found.push({
        id,
        path,
        name,
        isKnown: wasSettled,
        isGone: signature === '',
        readers: new Set([...readers, ...settledReaders]),
        missing,
        until: isStill ? undefined : entry.since + this.settleMs,
      });
    }
    return found;
  }

  /** The next change of these is the caller's own, and nothing to wait for. */
  expectChange(ids: Iterable<string>): void {
    for (const id of ids) {
      const entry = this.entries.get(id);
      if (entry !== undefined) entry.isExpected = true;
    }
  }
}
