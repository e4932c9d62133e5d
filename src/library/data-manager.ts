/**
 * The data manager of Avalanche eDNA (`src/ui/data_manager.py`) for programs in JavaScript: which runs there are and what
 * is in their folders, search across them, model versions, and what references hold. Prints nothing and keeps nothing:
 * every call looks at the disk as it is then, and loads what it needs.
 */
import { join, resolve } from 'node:path';
import type { ReferenceContents } from '../reference/contents.js';
import type { RegisterOutcome, RegistryOptions, RegistryPlace, VersionInfo } from '../registry.js';
import type { VersionComparison } from '../runs/compare-versions.js';
import type { RunFiles } from '../runs/run-files.js';
import type { SearchAnswer, Searcher, SearchQuery } from '../search.js';
import type { ReleaseInfo } from './releases.js';
import type { RunReader } from './run-reader.js';

/** A run: a folder `<runs>/<dataset>/<run>/` that holds embeddings or another file of an analysis, or was archived. */
export interface RunInfo {
  /** `dataset/run` */
  name: string;
  dataset: string;
  run: string;
  /** Its folder, absolute. */
  path: string;
  /** When its embeddings were last changed; where there are none, its folder. */
  modified: Date;
  /** What holds its embeddings. Of two, the `.npy` is the truth. */
  containers: ('npy' | 'npz')[];
  /** Its files are elsewhere (`firn runs archive`): its rows are in references, and its embeddings cannot be read here. */
  archived: boolean;
  /** bytes of its embeddings on disk */
  bytes: number;
  /** The model version, by the registry or by the run itself. */
  version: string | null;
  files: RunFiles;
}

/** Which runs, in which order. All parts have to match. */
export interface RunQuery {
  /** Patterns as in pipeline.yaml: `*`, `?`, `[a-z]`, `{a,b}`. A pattern of a run with `/` is for `dataset/run`. */
  dataset?: string | string[];
  run?: string | string[];
  /** The model version, exactly. */
  version?: string;
  /** Runs whose embeddings were last changed this long ago or longer: `30d`, `12h`, `2w`. */
  olderThan?: string;
  /** Text in the name of the dataset or of the run, whatever the case. */
  text?: string;
  /** newest (the default) and oldest go by `modified`, name by `dataset/run`. */
  sort?: 'newest' | 'oldest' | 'name';
  /** The first so many. */
  limit?: number;
}

/** Where and how to search. */
export interface SearchSettings {
  /** A directory (seen from the project), the tag of a release, or the target that makes it; `data/reference` unless told. */
  reference?: string;
  /** How many neighbours (10). */
  topK?: number;
  /** Leave out the rows of the run that the query is from. True, as in the older data manager. */
  excludeSameRun?: boolean;
  /** Lists of an IVF index to look into, instead of the number in the index. */
  nprobe?: number;
  signal?: AbortSignal;
}

/** A row of a run, and where and how to search for its neighbours. */
export interface SearchRequest extends SearchSettings {
  /** `dataset/run`, or the path of its folder. */
  run: string;
  /** Its row, from 0. */
  seqIdx: number;
}

/** A reference that a target makes, or the one in `data/reference`. */
export interface ReferenceInfo {
  /** The target that makes it; null for one that none makes. */
  target: string | null;
  /** Absolute. */
  directory: string;
  /** Null where it is not built yet or cannot be read. */
  contents: ReferenceContents | null;
  /** Why it cannot be read, for people. */
  problem: string | null;
}

/** Which project. */
export interface DataManagerOptions {
  /** The folder of pipeline.yaml, or of the project where there is none; where the process is, unless told. */
  directory?: string;
}

/** What pipeline_results.json may hold: cluster labels and scores are lists of all sequences. */
const RESULTS_LIMIT = 256 * 1024 * 1024;

/** The runs, references and model versions of a project. It works without a pipeline.yaml too, with the usual folders. */
export class DataManager {
  /** Absolute. */
  readonly directory: string;

  constructor(options: DataManagerOptions = {}) {
    this.directory = resolve(options.directory ?? '.');
  }

  /**
   * The runs that match, newest first. Lists folders and looks at names; opens no array.
   * @throws FirnError usage for a pattern or duration that cannot be read
   */
  async discoverRuns(query: RunQuery = {}): Promise<RunInfo[]> {
    const { findRuns } = await import('./run-list.js');
    return findRuns(await this.place(), query);
  }

  /** The names of the datasets that have a run, in code-unit order. */
  async datasets(): Promise<string[]> {
    const runs = await this.discoverRuns({ sort: 'name' });
    return [...new Set(runs.map((run) => run.dataset))];
  }

  /**
   * One run, by `dataset/run` or the path of its folder.
   * @throws FirnError usage when there is none
   */
  async run(run: string): Promise<RunInfo> {
    const { findRun } = await import('./run-list.js');
    return findRun(await this.place(), run);
  }

  /** What is in the folder of a run. Throws as `run` does. */
  async runFiles(run: string): Promise<RunFiles> {
    return (await this.run(run)).files;
  }

  /**
   * What the analysis wrote into `pipeline_results.json`; null when there is no such file. NaN and Infinity, which Python
   * writes and JSON does not have, are read as numbers.
   * @throws FirnError input when it is no JSON
   */
  async pipelineResults(run: string): Promise<unknown> {
    const path = (await this.runFiles(run)).pipeline_results;
    if (path === undefined) return null;
    const { disk } = await import('../files/disk.js');
    const { parseOrdered, toPlain } = await import('../runs/ordered-json.js');
    return toPlain(parseOrdered(disk.readText(path, RESULTS_LIMIT) ?? 'null', path));
  }

  /** Opens the embeddings of a run. Throws as `run` and the function `openRun` do. */
  async openRun(run: string): Promise<RunReader> {
    const { openRun } = await import('./run-reader.js');
    return openRun((await this.run(run)).path);
  }

  /**
   * The nearest rows of a reference to a row of a run. Distances are squared Euclidean, as FAISS gives them.
   * @throws FirnError missing when there is no reference, usage when there is no such run or row
   */
  async searchAcrossEmbeddings(request: SearchRequest): Promise<SearchAnswer> {
    const { run, seqIdx, ...settings } = request;
    const searcher = await this.openSearch(settings);
    try {
      return await searcher.search({ run, seqIdx });
    } finally {
      await searcher.close();
    }
  }

  /** The same for many questions, also for sequences: the reference and its index are opened once. Close it at the end. */
  async openSearch(settings: SearchSettings = {}): Promise<Searcher> {
    const { openSearch } = await import('../search.js');
    const { runNameAt } = await import('../runs/run-name.js');
    const { reference, topK = 10, excludeSameRun = true, ...others } = settings;
    const { port, root, runsDir } = await this.place();
    const searcher = await openSearch(
      { port, reference: await this.directoryOf(reference), runsDir: join(root, runsDir) },
      { topK, excludeSameRun, ...others },
    );
    return {
      search: (query: SearchQuery) =>
        searcher.search('run' in query ? { ...query, run: runNameAt(root, runsDir, query.run) } : query),
      close: () => searcher.close(),
    };
  }

  /** The references that targets make, and the one in `data/reference` when no target makes it. */
  async references(): Promise<ReferenceInfo[]> {
    const { findReferences } = await import('./reference-list.js');
    return findReferences(this.directory);
  }

  /**
   * What one reference holds: by its directory, the tag of a release or the target that makes it (`data/reference`).
   * @throws FirnError missing when there is none
   */
  async reference(reference?: string): Promise<ReferenceContents> {
    const { referenceContents } = await import('../reference/contents.js');
    const { disk } = await import('../files/disk.js');
    return referenceContents(disk, await this.directoryOf(reference));
  }

  /** The releases, by date: what each holds, and which of its files are gone. `project.verify` reads every byte. */
  async releases(): Promise<ReleaseInfo[]> {
    const { listedReleases } = await import('./releases.js');
    return listedReleases(this.directory);
  }

  /** The registered model versions, in the order of registration, with the runs that are tagged with each. */
  async versions(): Promise<VersionInfo[]> {
    const { versionsOf } = await import('../registry.js');
    return versionsOf(await this.place());
  }

  /**
   * Adds a model version to the registry, or changes its description.
   * @throws FirnError conflict when it stands for another model
   */
  async registerVersion(
    version: { version: string; model: string; description?: string },
    options?: RegistryOptions,
  ): Promise<RegisterOutcome> {
    const { register } = await import('../registry.js');
    return register(await this.place(), version, options);
  }

  /**
   * Says which version made a run.
   * @throws FirnError usage when there is no such run or version, conflict when another one made it (and not `force`)
   */
  async tagRun(run: string, version: string, options?: RegistryOptions & { force?: boolean }): Promise<void> {
    const { tag } = await import('../registry.js');
    await tag(await this.place(), run, version, options);
  }

  /** Tags every run that has no version. The names of those. */
  async autoTag(version: string, options?: RegistryOptions): Promise<string[]> {
    const { tagUntagged } = await import('../registry.js');
    return (await tagUntagged(await this.place(), version, options)).tagged;
  }

  /**
   * Two model versions side by side: their runs, datasets, rows and dimensions.
   * @throws FirnError usage when one is not registered
   */
  async compareVersions(first: string, second: string): Promise<VersionComparison> {
    const { compare } = await import('../registry.js');
    const { unread: _unread, ...comparison } = await compare(await this.place(), first, second);
    return comparison;
  }

  /** Folders as pipeline.yaml names them now. */
  private async place(): Promise<RegistryPlace> {
    const { projectPlaces } = await import('../project.js');
    const { disk } = await import('../files/disk.js');
    const { root, pipeline } = await projectPlaces(this.directory);
    return { port: disk, root, runsDir: pipeline.runsDir, versionsFile: pipeline.versionsFile };
  }

  private async directoryOf(reference: string | undefined): Promise<string> {
    const { referenceDirectory } = await import('./reference-list.js');
    return referenceDirectory(this.directory, reference);
  }
}
