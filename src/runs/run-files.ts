/**
 * What an analysis leaves in the folder of a run, by name. The names are those of Avalanche eDNA (its
 * `scripts/run_pipeline.py` writes them, `src/ui/data_manager.py` gives them these keys) and firn's own. Looks at names
 * only; knows no file's content.
 */
import { join } from 'node:path';
import type { ReadPort } from '../files/port.js';
import { NPY_FILE, NPZ_FILE } from './discover.js';
import { RUN_FACTS_FILE, SEQUENCE_NAMES_FILE, SKIPPED_FILE } from './run-facts.js';

/** What a file of a run is for. */
export type RunFileKind =
  | 'embeddings'
  | 'embedding_run'
  | 'sequence_names'
  | 'skipped_sequences'
  | 'pipeline_results'
  | 'analysis_report'
  | 'preprocessed_sequences'
  | 'sequence_embeddings'
  | 'cluster_assignments'
  | 'cluster_stats'
  | 'cluster_representatives'
  | 'cluster_viz'
  | 'reduced_embeddings'
  | 'taxonomy_predictions'
  | 'taxonomy_tiebreak'
  | 'novelty_analysis'
  | 'novelty_candidates'
  | 'novelty_viz';

/** The files of a run that are there, by what they are for: absolute paths. */
export type RunFiles = { [kind in RunFileKind]?: string } & {
  /** What is in `visualizations/`, by file name. */
  visualizations: { [name: string]: string };
};

/** Where each stands in the folder of a run; of several the first that is there. */
export const RUN_FILE_NAMES: { [kind in RunFileKind]: readonly string[] } = {
  embeddings: [NPY_FILE, NPZ_FILE],
  embedding_run: [RUN_FACTS_FILE],
  sequence_names: [SEQUENCE_NAMES_FILE],
  skipped_sequences: [SKIPPED_FILE],
  pipeline_results: ['pipeline_results.json'],
  analysis_report: ['analysis_report.txt'],
  preprocessed_sequences: ['preprocessed_sequences.fasta'],
  // What the pipeline itself writes; a run of firn's needs the other name.
  sequence_embeddings: ['sequence_embeddings.npy'],
  cluster_assignments: ['clustering/cluster_assignments.csv'],
  cluster_stats: ['clustering/cluster_stats.txt'],
  cluster_representatives: ['clustering/cluster_representatives.txt'],
  cluster_viz: ['clustering/cluster_visualization.png'],
  reduced_embeddings: ['clustering/reduced_embeddings.npy'],
  taxonomy_predictions: ['taxonomy/taxonomy_predictions.csv'],
  taxonomy_tiebreak: ['taxonomy/taxonomy_tiebreak_report.csv'],
  novelty_analysis: ['novelty/novelty_analysis.json'],
  novelty_candidates: ['novelty/novelty_candidates.txt'],
  novelty_viz: ['novelty/novelty_visualization.png'],
};

const VISUALIZATIONS = 'visualizations';
/** Pictures and pages that a browser shows. */
const SHOWN = /\.(png|svg|html|pdf)$/i;

/**
 * The files of the run in `directory`. Links are passed over, as everywhere below the runs folder. Lists the folder, and
 * each of the four folders in it that is there.
 */
export function findRunFiles(port: ReadPort, directory: string): RunFiles {
  const top = port.list(directory);
  const here = new Set(filesOf(top));
  for (const { name, kind } of top) {
    if (kind !== 'directory' || !FOLDERS.has(name)) continue;
    for (const file of filesOf(port.list(join(directory, name)))) here.add(`${name}/${file}`);
  }
  const files: RunFiles = { visualizations: {} };
  for (const [kind, names] of Object.entries(RUN_FILE_NAMES)) {
    const name = names.find((one) => here.has(one));
    if (name !== undefined) files[kind as RunFileKind] = join(directory, name);
  }
  const shown = [...here].filter((path) => path.startsWith(`${VISUALIZATIONS}/`) && SHOWN.test(path));
  files.visualizations = Object.fromEntries(
    shown.map((path) => [path.slice(VISUALIZATIONS.length + 1), join(directory, path)]),
  );
  return files;
}

const FOLDERS = new Set([
  VISUALIZATIONS,
  ...Object.values(RUN_FILE_NAMES).flatMap((names) =>
    names.filter((name) => name.includes('/')).map((name) => name.split('/')[0]),
  ),
]);

function filesOf(entries: readonly { name: string; kind: string }[]): string[] {
  return entries.filter(({ kind }) => kind === 'file').map(({ name }) => name);
}
