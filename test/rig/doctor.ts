/**
 * Broken projects and what `firn doctor` is to find in them. A case breaks a healthy, built project, or makes one of its
 * own, and names the codes of all that is to be found: any other finding fails the test as well.
 */
import * as assert from 'uvu/assert';
import { CODES, type Code, type Finding } from '../../src/doctor/finding.js';
import { build, openProject } from '../../src/project.js';
import { type Finished, parse, TestProject } from './project.js';

export interface DiagnosisJson {
  mode: 'quick' | 'full';
  errors: number;
  warnings: number;
  advice: number;
  checked: { group: string; text: string }[];
  findings: Finding[];
}

export interface Broken {
  /** All that is found, in any order; each once. */
  finds: Code[];
  /** Breaks the healthy project, or gives another one. */
  breaks(project: TestProject): unknown;
  args?: string[];
  /** Of the first finding. */
  path?: string | null;
  message?: RegExp;
  remedy?: RegExp;
}

export const REFERENCE = 'data/reference';
export const ARRAY = `${REFERENCE}/consolidated_embeddings.npy`;
export const METADATA = `${REFERENCE}/consolidated_metadata.json`;
export const INDEX = `${REFERENCE}/consolidated_index.faiss`;
export const RUNS = 'consolidated_data/runs';

export const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: ${REFERENCE}}
  index: {rule: index, from: [reference]}
`;

let built: Promise<TestProject> | undefined;

/** Three runs, a reference and its index, built. */
export async function healthyProject(): Promise<TestProject> {
  built ??= (async () => {
    const project = new TestProject(PIPELINE);
    for (const [i, name] of ['A/r1', 'A/r2', 'B/r1'].entries()) await project.writeRun(name, { seed: i + 1 });
    assert.is((await project.build()).ran, 2);
    return project;
  })();
  const copy = (await built).clone();
  await settle(copy);
  return copy;
}

/** Builds until every digest is remembered of the files as they are here, which takes a tick of the clock. */
export async function settle(project: TestProject): Promise<void> {
  const trace = 'cache/fresh.jsonl';
  if (project.exists(trace)) project.remove(trace);
  while (!project.exists(trace)) await build(await openProject({ directory: project.root }));
}

export async function doctor(
  project: TestProject,
  ...args: string[]
): Promise<DiagnosisJson & { finished: Finished }> {
  const finished = await project.firn('doctor', '--json', ...args);
  return { ...parse<DiagnosisJson>(finished), finished };
}

/** Fails unless exactly this is found. */
export async function expectFindings(broken: Broken): Promise<void> {
  const healthy = await healthyProject();
  const other = await broken.breaks(healthy);
  const project = other instanceof TestProject ? other : healthy;
  const before = project.snapshot();
  const { findings, finished } = await doctor(project, ...(broken.args ?? []));
  const told = findings.map(({ code, path, message }) => `${code} ${path}: ${message}`).join('\n');
  assert.equal([...new Set(findings.map(({ code }) => code))].sort(), [...broken.finds].sort(), told);
  assert.equal(findings.length, broken.finds.length, `each once:\n${told}`);
  const isWrong = broken.finds.some((code) => CODES[code] !== 'advice');
  assert.is(finished.code, isWrong ? 1 : 0, finished.stderr);
  assert.equal(project.snapshot(), before, 'nothing is changed');
  const first = findings.find(({ code }) => code === broken.finds[0]);
  if (first === undefined) return;
  assert.is(first.severity, CODES[first.code]);
  if (broken.path !== undefined) assert.is(first.path, broken.path);
  if (broken.message !== undefined) assert.match(first.message, broken.message);
  assert.match(first.remedy, broken.remedy ?? /\S/);
}

/** Makes the program believe a lie of the system: JavaScript that runs before it, in it and in those it starts. */
export function lie(project: TestProject, script: string): void {
  project.write(
    'lie.cjs',
    `const fs = require('node:fs');\n${script}\nrequire('node:module').syncBuiltinESMExports();\n`,
  );
  project.env = { NODE_OPTIONS: `--require=${project.path('lie.cjs')}` };
}

/** As where the optional package was never installed. */
export function withoutFaissNode(project: TestProject): void {
  lie(
    project,
    `const Module = require('node:module');
const real = Module._load;
Module._load = (name, ...rest) => {
  if (name !== 'faiss-node') return real(name, ...rest);
  throw Object.assign(new Error("Cannot find module 'faiss-node'"), { code: 'MODULE_NOT_FOUND' });
};`,
  );
}
