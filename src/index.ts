/**
 * firn as a library: what is named here is public, and nothing else is. Loading it loads next to nothing, since functions
 * load what they need. docs/library.md shows how to use it; test/fixtures/public-api.txt holds every name and signature.
 */

// Building.
export type { BuildEvent, BuildSummary, StepOutcome, StepStatus } from './engine/events.js';
export type { PlannedStep } from './engine/plan.js';
export type { Json, Reason, ReasonCode } from './engine/types.js';
export { type ErrorDetails, type ErrorKind, FirnError } from './errors.js';
export type { Finding } from './finding.js';
// Runs, references, releases, model versions, search.
export {
  DataManager,
  type DataManagerOptions,
  type ReferenceInfo,
  type RunInfo,
  type RunQuery,
  type SearchRequest,
  type SearchSettings,
} from './library/data-manager.js';
export {
  type DiagnoseOptions,
  type Diagnosis,
  type DoctorFinding,
  diagnose,
} from './library/diagnose.js';
export {
  type BuildPlan,
  openProject,
  type PlanRequest,
  type Project,
  type ProjectOptions,
  type TargetInfo,
  type WatchRequest,
} from './library/project.js';
export type { ReleaseInfo, ReleaseOptions, ReleaseResult, VerifyOptions } from './library/releases.js';
export { openRun, type ReadOptions, type RunBlock, type RunReader } from './library/run-reader.js';
export type { BuildRequest } from './project.js';
export type { IndexState, ReferenceContents, ReferenceRun } from './reference/contents.js';
export type { RowOrigin } from './reference/open.js';
export type { RegisterOutcome, RegistryOptions, VersionInfo } from './registry.js';
export type { VersionComparison, VersionSide } from './runs/compare-versions.js';
export type { RunFileKind, RunFiles } from './runs/run-files.js';
export type { ModelVersion } from './runs/versions.js';
export type { SearchAnswer, Searcher, SearchHit, SearchQuery } from './search.js';
export type { StepState, TargetStatus } from './status.js';
export type { VerifyReport } from './verify.js';
export type { WaitedFor, WatchEvent } from './watch/events.js';
export type { WatchOptions } from './watch/watch.js';
