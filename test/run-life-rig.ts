/** A project whose runs are archived, restored and removed, and what the commands said. */
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

export const RUNS = 'consolidated_data/runs';
export const PIPELINE = `
targets:
  compressed: {rule: compress, runs: {dataset: A}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;

export interface Life {
  dryRun: boolean;
  runs: { run: string; status: string; error?: string; usedBy?: string[]; files: number; bytes: number }[];
}

let first: Promise<TestProject> | undefined;

/** A/old with a copy, a folder and a hidden file, 300 days old; A/new and B/r1. All built. */
export async function builtProject(): Promise<TestProject> {
  first ??= make();
  return (await first).clone();
}

async function make(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/old', { seed: 1, rows: 50 });
  await project.writeRun('A/new', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3 });
  project.write(`${RUNS}/A/old/plots/umap.html`, '<p>');
  project.write(`${RUNS}/A/old/.note`, 'hidden');
  project.write(`${RUNS}/A/old/taxonomy; touch X.csv`, 'a,b\n');
  chmodSync(project.path(`${RUNS}/A/old/.note`), 0o400);
  for (const name of ['embeddings.npy', 'plots/umap.html', '.note', 'plots'])
    project.age(`${RUNS}/A/old/${name}`, 300);
  assert.is((await project.build()).failed, 0);
  return project;
}

export async function life(project: TestProject, ...args: string[]): Promise<Life & { code: number | null }> {
  const finished = await project.firn('runs', ...args, '--json');
  return { ...parse<Life>(finished), code: finished.code };
}

export function errorOf(result: Life): string {
  return result.runs.map(({ error }) => error ?? '').join('\n');
}

/** `diff -r`: nothing when the folders hold the same names and bytes. */
export function difference(a: string, b: string): string {
  try {
    execFileSync('diff', ['-r', a, b]);
    return '';
  } catch (error) {
    return String((error as { stdout: Buffer }).stdout);
  }
}
