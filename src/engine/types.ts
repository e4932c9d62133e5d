/**
 * The words the engine works with: steps, their inputs and outputs, what a finished one leaves behind, and why one
 * runs. Knows no array, no reference and no rule by name. All paths in a step are relative to the project, with `/`.
 */
import type { Port, ReadPort } from '../files/port.js';
import type { Workers } from '../workers/pool.js';

/** A value that JSON has. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Something a step reads. `kind` picks the digester; two inputs with one id are the same thing. */
export interface Input {
  kind: string;
  /** A file, or the directory of a run. */
  path: string;
  /** How people know it, when not by its path: `dataset/run`. */
  name?: string;
}

/** Something a step writes. For kind `run` the path is the run's array, and any container of equal content will do. */
export interface Output {
  kind: string;
  path: string;
}

/** One piece of work with concrete inputs and outputs. */
export interface Step {
  /** `target` or `target:dataset/run`. */
  id: string;
  target: string;
  rule: Rule;
  /** The validated `with` of the target, and whatever else of it shapes the work. */
  params: Json;
  inputs: Input[];
  outputs: Output[];
  /** What is there and could be an input, but is not asked for: for the words when it was one before. */
  passedOver?: Input[];
  /** Inputs of other steps that this one rewrites without naming them as outputs; those steps wait for it. */
  rewrites?: Input[];
  /** Files the step unlinks once its outputs are committed and proven (a compressed original). */
  removes?: string[];
  /** What expansion found out and the work needs again; a function of the above and so no part of the key. */
  detail?: Json;
}

/** What a digester says of an input: its digest, and facts about it that planning needs (rows, dimensions). */
export interface Digest {
  digest: string;
  facts?: { [name: string]: Json };
}

/** How one kind of input is found and digested. */
export interface Digester {
  /** The files whose stat decides whether a stored digest still holds. */
  files(path: string): string[];
  /** A file that speaks for the input where none of these is there, and then takes their part. */
  standIn?(path: string): string;
  /** The content's digest; undefined when nothing is there. Throws FirnError when what is there is unusable. */
  digest(path: string, options: DigestOptions): Promise<Digest | undefined>;
}

export interface DigestOptions {
  port: ReadPort;
  /** Threads for large content; hashed here without. */
  workers?: Workers | undefined;
  signal: AbortSignal | undefined;
  onBytes: (bytes: number) => void;
  /** Digest of the bytes that a step last wrote under this path, when a record says so. */
  recordedBytes?: ((path: string) => string | undefined) | undefined;
}

/** One line of what a step depends on. */
export type ManifestEntry = [label: string, value: string];

/** A rule's own memory: what it reads from earlier outputs. It must settle: planned again after the step, it is the same. */
export interface Memory {
  entries: ManifestEntry[];
  /** Handed to `run`, and stored in the record in case the outputs are lost. */
  state: Json;
  /** What a person should know before the step runs or is restored; nobody is told while it is fresh. */
  warnings?: string[];
  /** Why the step cannot run, as far as that shows before the work; it may still be restored. */
  obstacle?: Error;
}

export interface MemoryContext {
  port: ReadPort;
  /** Absolute. */
  root: string;
  /** By `inputId`. */
  digests: ReadonlyMap<string, Digest>;
  /**
   * The last record of this step, or of another one that wrote its first output: a hint, for when the outputs themselves
   * do not tell. Its digests show whether it still speaks of the files that are there.
   */
  recorded: Pick<StepRecord, 'outputs' | 'state'> | undefined;
  /** Whether there seems to be a stored output of these bytes (`sha256:`). */
  isStored(digest: string): boolean;
  /** The step is to run whatever its state. */
  force: boolean;
}

/** How a kind of target is built. A value, not a class. */
export interface Rule {
  name: string;
  /** Part of the key: another version makes every step of the rule stale. */
  version: string;
  /** A file of the project, not one that firn brings along. */
  own?: true;
  /** One sentence for help and docs. */
  summary: string;
  /** JSON Schema of `with`; an object schema. */
  parameters: { [keyword: string]: Json };
  /** Which fields of a target, besides `rule` and `with`, it takes. */
  fields: { from?: FieldUse; runs?: FieldUse; out?: FieldUse; run?: FieldUse };
  /** Pure over the view. */
  expand(target: RuleTarget, view: ExpandView): StepDraft[];
  /** False where outputs are not worth a second place on disk (in cache/): they are made again when needed. */
  stored?: boolean;
  /**
   * What it made stays as it is. `run` gives all outputs their names itself, at once, never replaces any, and says `keep`;
   * they are not restored from cache/, and `clean` spares them.
   */
  immutable?: true;
  /** Programs or libraries whose version is part of the key. */
  tools?(step: Step): ManifestEntry[];
  memory?(step: Step, context: MemoryContext): Memory | Promise<Memory>;
  /** What else than overwriting can be done about an output that another program wrote: a clause for advice. */
  takeOver?: string;
  /** Why no step like this can run here, whatever its inputs: a package is missing. `tools` should say so, too. */
  obstacle?(step: Step): Error | undefined | Promise<Error | undefined>;
  /** Whether an existing output that no record names was made by firn; undefined when the file does not tell. */
  recognises?(
    step: Step,
    output: Output,
    context: { port: ReadPort; root: string },
  ): boolean | undefined | Promise<boolean | undefined>;
  /** `run` fails unless what it read is what the digests of the inputs name; else a file that is touched is read again. */
  proves?: true;
  run(step: Step, context: RunContext): Promise<RunResult>;
  /** Why a file in `removes` stays all the same, asked once the outputs are there. */
  keeps?(step: Step, path: string, context: { port: ReadPort; root: string }): string | undefined;
  /** Proves that `path` may go: throws otherwise. Called after the commit, before each unlink of `removes`. */
  mayRemove?(step: Step, path: string, context: RunContext): Promise<void>;
}

export type FieldUse = 'required' | 'optional';

export type StepDraft = Omit<Step, 'target' | 'rule'>;

/** A target as a rule sees it. */
export interface RuleTarget {
  name: string;
  with: { [name: string]: Json };
  /** The names under `with` that stand in pipeline.yaml; the values of the others are defaults. */
  given: ReadonlySet<string>;
  from: string[];
  runs: RunFilter | undefined;
  out: string[];
  run: string[];
  /** A FirnError that points at this target in pipeline.yaml, or at one of its fields. */
  error(message: string, advice?: string, field?: string): Error;
}

export type RunFilter =
  | 'all'
  | { dataset?: string | string[]; run?: string | string[]; version?: string; 'older-than'?: string };

/** A run that is on disk or that a step of this build will make. */
export interface KnownRun {
  /** `dataset/run` */
  name: string;
  dataset: string;
  run: string;
  /** Relative to the project. */
  directory: string;
  hasNpy: boolean;
  hasNpz: boolean;
  /** Made by a step of this pipeline. */
  made: boolean;
  /** Its files are elsewhere; what is here tells its digest, and cannot be read as an array. */
  archived: boolean;
  /** The model version, looked up when asked for. */
  readonly version: string | undefined;
}

/** A file that a pattern matched, with what its wildcards stood for. */
export interface FileMatch {
  path: string;
  wildcards: { [name: string]: string };
}

/** What a rule may look at while it expands a target. */
export interface ExpandView {
  port: ReadPort;
  /** Absolute. */
  root: string;
  /** Relative to the project. */
  runsDir: string;
  versionsFile: string;
  /** Beside each reference when undefined. */
  releasesDir: string | undefined;
  /** Sorted by name. Archived ones only when asked for: most rules can do nothing with them. */
  runs(filter: RunFilter, options?: { archived?: boolean }): KnownRun[];
  /** Files on disk or made by other steps; `*` and `{name}` are wildcards. Sorted by path. */
  files(pattern: string): FileMatch[];
  /** Whether a step wrote this file, as far as records tell; it need not be there any more. Reads the records: ask seldom. */
  wasWritten(path: string): boolean;
  /** Something a person should know though it is no mistake: a filter that selects nothing. */
  warn(message: string): void;
  /** Another target, when `name` is one. */
  target(name: string): { steps: readonly Step[]; out: readonly string[] } | undefined;
}

export interface RunContext {
  port: Port;
  /** Absolute. */
  root: string;
  /** Absolute path of a project path. */
  resolve(path: string): string;
  /** Where an output is to be written; it gets its final name when the step commits. */
  stage(output: Output): string;
  /** `sha256:` digest of a staged file that is complete, for the record as well; `computed` when the rule took it while it wrote. */
  stagedDigest(output: Output, computed?: string): Promise<string>;
  /** The step is to run whatever its state, and to believe nothing that it need not. */
  force: boolean;
  /** Whether what stands under the name of an output is what firn last recorded there. */
  isAsRecorded(output: Output): Promise<boolean>;
  /**
   * A file of these bytes (`sha256:`), copied from the stored outputs and proven; undefined when it is not stored. It is
   * gone when the step ends.
   */
  stored(digest: string): Promise<string | undefined>;
  digests: ReadonlyMap<string, Digest>;
  state: Json | undefined;
  /** Threads for work that takes long. */
  workers: Workers;
  signal: AbortSignal;
  progress(done: number, total: number, unit: string): void;
  warn(message: string): void;
  /** A line that a program wrote. */
  log(line: string): void;
}

export interface RunResult {
  /** Shown and recorded: rows, ratios, recall. */
  stats?: { [name: string]: Json };
  /** The outputs on disk are already what the step would write. */
  keep?: boolean;
}

/** What a finished step left behind. */
export interface StepRecord {
  step: string;
  key: string;
  manifest: ManifestEntry[];
  outputs: RecordedOutput[];
  state?: Json;
  stats?: { [name: string]: Json };
  seconds: number;
}

export interface RecordedOutput extends Output {
  /** Of the content, as the kind's digester takes it. */
  digest: string;
  /** Of the file's bytes, where that is not the same: what a stored copy is found by. */
  stored?: string;
}

/**
 * What kind of cause made a step stale; or why it was skipped: `interrupted`, or, where one program builds again and again,
 * `failed` (it failed before, and would again) and `incomplete` (an input is still being written).
 */
export type ReasonCode =
  | 'new'
  | 'forced'
  | 'rule'
  | 'parameter'
  | 'input'
  | 'memory'
  | 'output'
  | 'cleanup'
  | 'upstream'
  | 'interrupted'
  | 'failed'
  | 'incomplete';

/** One cause for a step to run, as data; `text` is for people. */
export interface Reason {
  code: ReasonCode;
  text: string;
}

export function inputId(input: Input): string {
  return `${input.kind}:${input.path}`;
}

export function nameOf(input: Input): string {
  return input.name === undefined ? input.path : `${input.kind} ${input.name}`;
}
