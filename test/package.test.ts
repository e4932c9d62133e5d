/** The package as a user has it: what is in it, what it lets in, a program against it, and the examples of docs/library.md. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { disk } from '../src/files/disk.js';
import { RUN_FILE_NAMES } from '../src/runs/run-files.js';
import { compileStrictly, type Installed, install } from './rig/installed.js';
import { seededValues, TestProject } from './rig/project.js';

const test = suite('package');

const LIBRARY = readFileSync(fileURLToPath(new URL('../../docs/library.md', import.meta.url)), 'utf8');

const RUNS = [
  'My_Dataset/2024-11-20_10-30-00',
  'My_Dataset/2024-11-22_15-45-00',
  'Other_Dataset/2024-11-21_12-00-00',
];

/** The project that docs/library.md speaks of. Row i of the second run is near to row i of the first. */
async function lab(): Promise<TestProject> {
  const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`);
  const first = seededValues(1, 40 * 8);
  const second = first.map((value, i) => (i % 8 < 2 ? value + 0.5 : value));
  const values = [first, second, seededValues(3, 40 * 8).map((value) => value * 3)];
  for (const [i, name] of RUNS.entries()) {
    const path = project.path(`consolidated_data/runs/${name}/embeddings.npy`);
    mkdirSync(dirname(path), { recursive: true });
    const writer = await createNpy(disk, path, { dtype: 'f4', dims: 8, rows: 40 });
    await writer.write(new Uint8Array(values[i].buffer));
    await writer.finish();
    project.age(`consolidated_data/runs/${name}/embeddings.npy`, [9, 1, 4][i]);
  }
  const run = `consolidated_data/runs/${RUNS[0]}`;
  project.write(`${run}/pipeline_results.json`, '{"clustering": {"n_clusters": 7, "silhouette_score": NaN}}');
  project.write(`${run}/clustering/cluster_assignments.csv`, 'sequence,cluster\n');
  project.write(`${run}/taxonomy/taxonomy_predictions.csv`, 'sequence,assigned_label\n');
  project.write(`${run}/novelty/novelty_analysis.json`, '{}');
  project.write(`${run}/visualizations/analysis_dashboard.html`, '<html></html>');
  await project.firn('versions', 'register', '--version', 'v1.0', '--model', 'nt-500m-1000g');
  for (const name of RUNS.slice(0, 2)) await project.firn('versions', 'tag-run', name, '--version', 'v1.0');
  return project;
}

let installed: Installed;

test.before(() => {
  installed = install();
});

/** Runs a module of the consumer in a folder. */
function run(
  file: string,
  cwd: string,
  ...flags: string[]
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [...flags, file], { cwd, encoding: 'utf8', timeout: 60_000 });
}

/** The code blocks of a language, each with the block without a language that follows it at once. */
function examplesIn(text: string): { code: string; output: string | undefined }[] {
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```\n(?:\n```\n([\s\S]*?)^```\n)?/gm)].map(
    ([, code, output]) => ({ code, output }),
  );
}

test('every example of docs/library.md compiles strictly, runs, and prints what is shown', async () => {
  const examples = examplesIn(LIBRARY);
  assert.ok(examples.length >= 10, `${examples.length} examples`);
  for (const [i, { code }] of examples.entries())
    writeFileSync(join(installed.root, `example-${i}.ts`), code);
  compileStrictly(
    installed.root,
    examples.map((_, i) => `example-${i}`),
  );
  const project = await lab();
  for (const [i, { code, output }] of examples.entries()) {
    const { status, stdout, stderr } = run(join(installed.root, 'out', `example-${i}.js`), project.root);
    assert.is(stderr, '', code);
    assert.is(status, 0, code);
    assert.is(stdout, output, code);
  }
});

test('the tables of docs/library.md name every file of a run, under its key', () => {
  const rows = [...LIBRARY.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, key, text]) => [key, text]);
  for (const [key, names] of Object.entries(RUN_FILE_NAMES)) {
    const text = rows.find(([one]) => one === key)?.[1];
    for (const name of names) assert.ok(text?.includes(`\`${name}\``), `${key}: ${name}`);
  }
  for (const [, link] of LIBRARY.matchAll(/\]\(#([\w-]+)\)/g)) {
    assert.match(LIBRARY.toLowerCase().replaceAll(' ', '-'), new RegExp(`^##-${link}$`, 'm'));
  }
});

const CONSUMER = `
import { type BuildEvent, DataManager, FirnError, openProject, type Project, type RunInfo, type SearchAnswer } from 'firn-build';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name));
const project: Project = await openProject({ directory: process.argv[2] ?? '.' });
const events: BuildEvent['type'][] = [];
const summary = await project.build({ onEvent: ({ type }) => events.push(type) });
const runs: RunInfo[] = await project.data.discoverRuns();
const answer: SearchAnswer = await new DataManager({ directory: project.directory }).searchAcrossEmbeddings({ run: runs[0].name, seqIdx: 0, topK: 3 });
// @ts-expect-error A request has to say which row.
const wrong: Promise<SearchAnswer> = project.data.searchAcrossEmbeddings({ run: runs[0].name });
const kind: string = await wrong.then(() => '', (error: unknown) => (error instanceof FirnError ? error.kind : String(error)));
// @ts-expect-error Nothing deep is public.
const deep: unknown = await import('firn-build/dist/src/project.js').catch((error: NodeJS.ErrnoException) => error.code);
console.log(JSON.stringify({ ran: summary.ran, first: events[0], last: events.at(-1), hits: answer.results.length, kind, deep, signals, after: ['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name)) }));
`;

test('a strict program compiles against the tarball and runs; nothing deep can be imported', async () => {
  writeFileSync(join(installed.root, 'consumer.ts'), CONSUMER);
  compileStrictly(installed.root, ['consumer']);
  const project = await lab();
  const { status, stdout, stderr } = run(join(installed.root, 'out', 'consumer.js'), project.root);
  assert.is(stderr, '');
  assert.is(status, 0);
  assert.equal(JSON.parse(stdout), {
    ran: 2,
    first: 'begin',
    last: 'end',
    hits: 3,
    kind: 'usage',
    deep: 'ERR_PACKAGE_PATH_NOT_EXPORTED',
    signals: [0, 0, 0],
    after: [0, 0, 0],
  });
});

test('a program in CommonJS can require it', async () => {
  writeFileSync(
    join(installed.root, 'consumer.cjs'),
    `const firn = require('firn-build');
firn.openProject({ directory: '.' }).then((project) => project.plan()).then(({ steps }) => console.log(steps.length));
`,
  );
  const { status, stdout } = run(join(installed.root, 'consumer.cjs'), (await lab()).root);
  assert.is(status, 0);
  assert.is(stdout, '2\n');
});

test('the tarball holds the program, the library with its types, and no test', async () => {
  const { files, folder } = installed;
  for (const name of [
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'dist/src/start.cjs',
    'dist/firn.bundle.js',
    'dist/rules/consolidate.js',
    'docs/library.md',
    // The guide says to copy it.
    '.github/workflows/reference.yml',
    'LICENSE',
    'README.md',
  ])
    assert.ok(files.includes(name), name);
  assert.equal(
    files.filter((name) => /^(test|src|scripts|bench|dist\/(test|bench|scripts))\/|\.map$/.test(name)),
    [],
  );
  const project = await lab();
  const { status, stdout } = run(join(folder, 'dist/src/start.cjs'), project.root);
  assert.is(status, 2, stdout);
  const built = spawnSync(process.execPath, [join(folder, 'dist/src/start.cjs'), 'build'], {
    cwd: project.root,
    encoding: 'utf8',
  });
  assert.is(built.status, 0, built.stderr);
  assert.match(built.stdout, /^2 steps: 2 built/);
});

test('code that another build of Node made is not taken, though its V8 has the same version', () => {
  const cache = join(installed.folder, 'dist/firn.bundle.cache');
  const own = readFileSync(cache);
  const taken = (): string => {
    const start = JSON.stringify(join(installed.folder, 'dist/src/start.cjs'));
    const code = `process.on('exit', () => console.log(process.exitCode, require(${start}).script.cachedDataRejected)); require(${start})`;
    const { stdout } = spawnSync(process.execPath, ['-e', code, 'firn', '--version'], { encoding: 'utf8' });
    return stdout.trim().split('\n').at(-1) ?? '';
  };
  assert.is(taken(), '0 false');
  try {
    for (const [before, after] of [
      [process.version, process.version.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10))],
      [process.versions.v8, process.versions.v8.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10))],
      [String(statSync(process.execPath).size), String(statSync(process.execPath).size - 1)],
    ]) {
      const head = own.toString('latin1', 0, 128);
      assert.ok(head.includes(before), `${before} in ${head}`);
      writeFileSync(cache, Buffer.concat([Buffer.from(head.replace(before, after)), own.subarray(128)]));
      assert.is(taken(), '0 undefined', after);
    }
  } finally {
    writeFileSync(cache, own);
  }
});

/** Modules that a program loads, as URLs. */
const TRACE = `
import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent(\`
import { appendFileSync } from 'node:fs';
export async function load(url, context, next) {
  appendFileSync(process.env.LOADED, url + '\\\\n');
  return next(url, context);
}\`));
`;

test('importing loads nothing but a few modules of its own, prints nothing and starts nothing', async () => {
  writeFileSync(join(installed.root, 'trace.mjs'), TRACE);
  writeFileSync(
    join(installed.root, 'import.mjs'),
    `const names = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'uncaughtException', 'unhandledRejection', 'warning'];
const state = () => [process._getActiveHandles().length, ...names.map((name) => process.listenerCount(name))].join();
const before = state();
await import('firn-build');
if (state() !== before) console.log(before, state());
`,
  );
  const env = { ...process.env, LOADED: join(installed.root, 'loaded') };
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', join(installed.root, 'trace.mjs'), join(installed.root, 'import.mjs')],
    { cwd: installed.root, env, encoding: 'utf8' },
  );
  assert.is(stdout + stderr, '');
  assert.is(status, 0);
  const loaded = readFileSync(env.LOADED, 'utf8').trim().split('\n');
  const own = loaded.filter((url) => url.includes('/firn-build/'));
  assert.equal(own.map((url) => url.slice(url.indexOf('/dist/src/') + 10)).sort(), [
    'errors.js',
    'index.js',
    'library/data-manager.js',
    'library/diagnose.js',
    'library/project.js',
    'library/run-reader.js',
  ]);
  const others = loaded.filter(
    (url) => !own.includes(url) && !url.endsWith('/import.mjs') && url !== 'node:path',
  );
  assert.equal(others, []);
});

test.run();
