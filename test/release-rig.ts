/** What the tests of releases share: a project with a reference and its index, and what is in a release. */
import { spawnSync } from 'node:child_process';
import { chmodSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

export const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;
export const RELEASES = 'data/reference/releases';

export interface ReleaseJson {
  tag: string;
  name: string;
  date: string;
  directory: string;
  existed: boolean;
  rows: number;
  runs: number;
  versions: string[];
  index: boolean;
  bytes: number;
  archive: { path: string; bytes: number; sha256: string; existed: boolean } | null;
  warnings: string[];
}

/** Three runs of two datasets, built. */
export async function builtProject(pipeline = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/2024-11-20_10-30-00', { seed: 1, rows: 40 });
  await project.writeRun('A/2024-11-22_15-45-00', { seed: 2, rows: 30 });
  await project.writeRun('B/2024-10-01', { seed: 3, rows: 25 });
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  return project;
}

export async function release(project: TestProject, ...args: string[]): Promise<ReleaseJson> {
  const finished = await project.firn('release', '--json', ...args);
  assert.is(finished.code, 0, finished.stderr);
  return parse<ReleaseJson>(finished);
}

export interface VerifyJson {
  what: string;
  ok: boolean;
  findings: { path: string; problem: string }[];
  notes: string[];
}

export async function verify(project: TestProject, ...args: string[]): Promise<VerifyJson> {
  const finished = await project.firn('verify', '--json', ...args);
  const report = parse<VerifyJson>(finished);
  assert.is(finished.code, report.ok ? 0 : 1, finished.stderr);
  return report;
}

/** Runs a program of the system; its output. Throws when it does not end well. */
export function run(cwd: string, program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  if (status !== 0) throw new Error(`${program} ended with ${status ?? error}:\n${stdout}${stderr}`);
  return stdout;
}

/** Mode of a file or directory, as in `ls -l`. */
export function modeOf(project: TestProject, path: string): string {
  return (lstatSync(project.path(path)).mode & 0o7777).toString(8);
}

/** Opens a release for writing, as somebody would who damages it. */
export function unlock(project: TestProject, directory: string): void {
  chmodSync(project.path(directory), 0o755);
  for (const name of readdirSync(project.path(directory))) {
    const path = project.path(join(directory, name));
    if (lstatSync(path).isFile()) chmodSync(path, 0o644);
  }
}
