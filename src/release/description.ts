/** What a release says of itself, before it is written as a crate and as a statement. Knows neither format. */
import type { Trailer } from '../faiss/trailer.js';
import type { ReferenceFacts } from '../reference/metadata.js';
import type { Fields } from './fields.js';

export interface ReleasedFile {
  /** In the directory of the release. */
  name: string;
  bytes: number;
  /** 64 hexadecimal digits. */
  sha256: string;
  /** What it was called in the reference. */
  was?: string;
}

export interface Description {
  name: string;
  tag: string;
  /** ISO 8601. */
  date: string;
  /** Of the release: no run is marked as retained. */
  facts: ReferenceFacts;
  /** What firn noted behind the index; undefined without one. */
  index: Trailer | undefined;
  /** The arrays and their metadata. */
  data: { embeddings: ReleasedFile; metadata: ReleasedFile; index: ReleasedFile | undefined };
  /** Model versions that the registry knows: version -> model. */
  models: ReadonlyMap<string, string>;
  fields: Fields;
  /** SHA-256 of pipeline.yaml, in hexadecimal; undefined without one. */
  pipeline: string | undefined;
  firnVersion: string;
}

/** What the program is called where a format wants an address: a package URL (github.com/package-url/purl-spec). */
export const PROGRAM = 'pkg:npm/firn-build';

/** What decided the bytes of the index, by name; empty without one. */
export function indexParameters(trailer: Trailer | undefined): { [name: string]: string | number } {
  const index = trailer?.index as
    | {
        kind?: string;
        metric?: string;
        factory?: string;
        nlist?: number;
        nprobe?: number;
        recall?: { goal?: number | null; measured?: number };
        training?: { rows?: number };
      }
    | undefined;
  const told = {
    kind: index?.kind,
    metric: index?.metric,
    factory: index?.factory,
    nlist: index?.nlist,
    nprobe: index?.nprobe,
    'recall goal': index?.recall?.goal,
    'recall measured': index?.recall?.measured,
    'rows trained on': index?.training?.rows,
  };
  return Object.fromEntries(
    Object.entries(told).filter(
      (entry): entry is [string, string | number] => entry[1] !== undefined && entry[1] !== null,
    ),
  );
}

/** Model versions of the runs, in the order of the rows. */
export function versionsIn(facts: Pick<ReferenceFacts, 'ranges'>): string[] {
  return [...new Set(facts.ranges.flatMap(({ version }) => version ?? []))];
}
