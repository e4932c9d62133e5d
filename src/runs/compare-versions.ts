/** Two model versions side by side. Pure; knows the registry and what it is told about runs. */
import { expectVersion, listVersions, type ModelVersion, type Registry, runsOf } from './versions.js';

/** N and D of a run's array. */
export interface RunShape {
  rows: number;
  dims: number;
}

/** One of two versions that are compared. */
export interface VersionSide extends ModelVersion {
  /** `dataset/run`, in code-unit order. */
  runs: string[];
  datasets: string[];
  /** Sequences in the runs whose shape is known, and how many runs that are. */
  rows: number;
  knownRuns: number;
  /** Every D that occurs, ascending: more than one means that a run is tagged wrongly. */
  dims: number[];
}

/** Two versions side by side. */
export interface VersionComparison {
  sides: [VersionSide, VersionSide];
  sameModel: boolean;
  /** Datasets that have runs of both, of the first only, of the second only. */
  common: string[];
  onlyFirst: string[];
  onlySecond: string[];
}

/**
 * Compares the versions `first` and `second`; `shapeOf` gives the shape of a run's array, where it is known.
 * FirnError (usage) when one is not registered.
 */
export function compareVersions(
  registry: Registry,
  first: string,
  second: string,
  shapeOf: (run: string) => RunShape | undefined = () => undefined,
): VersionComparison {
  const sides: VersionComparison['sides'] = [side(registry, first, shapeOf), side(registry, second, shapeOf)];
  const [a, b] = sides.map(({ datasets }) => new Set(datasets)) as [Set<string>, Set<string>];
  return {
    sides,
    sameModel: sides[0].model === sides[1].model,
    common: sides[0].datasets.filter((dataset) => b.has(dataset)),
    onlyFirst: sides[0].datasets.filter((dataset) => !b.has(dataset)),
    onlySecond: sides[1].datasets.filter((dataset) => !a.has(dataset)),
  };
}

function side(
  registry: Registry,
  version: string,
  shapeOf: (run: string) => RunShape | undefined,
): VersionSide {
  expectVersion(registry, version);
  const entry = listVersions(registry).find((one) => one.version === version)!;
  const runs = runsOf(registry, version);
  const shapes = runs.map(shapeOf).filter((shape) => shape !== undefined);
  return {
    ...entry,
    runs,
    datasets: [...new Set(runs.map((run) => run.split('/')[0]!))].sort(),
    rows: shapes.reduce((sum, { rows }) => sum + rows, 0),
    knownRuns: shapes.length,
    dims: [...new Set(shapes.map(({ dims }) => dims))].sort((a, b) => a - b),
  };
}
