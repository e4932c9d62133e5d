/** `firn doctor` as a program: what it prints, its JSON, its limits, names of all kinds, and how its work grows. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diagnose } from '../src/doctor/doctor.js';
import { CODES, type Code } from '../src/doctor/finding.js';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { shellWord } from '../src/shell-word.js';
import { doctor, healthyProject, lie, PIPELINE, REFERENCE, RUNS } from './rig/doctor.js';
import { TestProject } from './rig/project.js';
import { shell } from './rig/running.js';

const test = suite('doctor');

test('a healthy project: a few lines, nothing found, exit 0, nothing written', async () => {
  const project = await healthyProject();
  const before = project.snapshot();
  for (const mode of ['--quick', '--full']) {
    const { code, stdout, stderr } = await project.firn('doctor', mode);
    assert.equal([code, stderr], [0, '']);
    assert.match(stdout, /^runs +3 runs in consolidated_data\/runs, 60 rows\n/);
    assert.match(stdout, /\nreferences +data\/reference \(60 rows, index flat\)\n/);
    assert.match(stdout, /\nnext build +2 of 2 steps fresh\n/);
    assert.match(stdout, /\nnothing found\n$/);
    assert.is(/--full reads every byte/.test(stdout), mode === '--quick');
    assert.ok(stdout.split('\n').length < 14, stdout);
  }
  assert.equal(project.snapshot(), before);
});

test('errors come before warnings, and each says what to do', async () => {
  const project = await healthyProject();
  project.write(`${RUNS}/C/r1/embedding.npy`, 'x');
  project.write(`${RUNS}/A/r1/embeddings.npy`, '');
  const { code, stdout, stderr } = await project.firn('doctor');
  assert.equal([code, stderr], [1, '']);
  assert.match(
    stdout,
    `
error run-unusable: ${RUNS}/A/r1/embeddings.npy: is empty (0 bytes), expected an npy or npz file
  -> Save it with numpy.save(path, array) or numpy.savez_compressed(path, embeddings=array).

warning run-misnamed: ${RUNS}/C/r1/embedding.npy: is passed over: the array of a run is called embeddings.npy
  -> \`mv -- ${RUNS}/C/r1/embedding.npy ${RUNS}/C/r1/embeddings.npy\`

1 error, 1 warning
`,
  );
});

test('many findings of one kind are counted, and --all and --json list them', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/good');
  for (let i = 0; i < 9; i++) project.write(`${RUNS}/A/bad${i}/embeddings.npy`, 'x');
  const { stdout } = await project.firn('doctor');
  assert.is(stdout.match(/^error run-unusable: .*bad\d/gm)?.length, 5);
  assert.match(stdout, /\nerror run-unusable: 4 more \(--all prints them\)\n/);
  assert.match(stdout, /\n9 errors\n$/);
  assert.is((await project.firn('doctor', '--all')).stdout.match(/^error run-unusable: /gm)?.length, 9);
  assert.is((await doctor(project)).findings.length, 9);
});

test('the JSON has these fields and no others', async () => {
  const project = await healthyProject();
  project.write(`${RUNS}/A/r1/embeddings.npy`, '');
  lie(project, 'process.availableMemory = () => 1;');
  const { finished, ...json } = await doctor(project);
  assert.equal(Object.keys(json), ['mode', 'errors', 'warnings', 'advice', 'checked', 'findings']);
  assert.equal([json.mode, json.errors, json.warnings, json.advice], ['quick', 1, 1, 0]);
  for (const one of json.findings)
    assert.equal(Object.keys(one), ['severity', 'code', 'path', 'message', 'remedy']);
  for (const one of json.checked) assert.equal(Object.keys(one), ['group', 'text']);
  assert.equal(
    json.findings.map(({ severity, code, path }) => [severity, code, path]),
    [
      ['error', 'run-unusable', `${RUNS}/A/r1/embeddings.npy`],
      ['warning', 'memory-short', null],
    ],
  );
  assert.is(finished.stderr, '');
});

test('it can be limited to a target, a run or a path', async () => {
  const project = new TestProject(`targets:
  a: {rule: consolidate, runs: {dataset: A}, out: data/a}
  b: {rule: consolidate, runs: {dataset: B}, out: data/b}
`);
  for (const name of ['A/r1', 'A/r2', 'B/r1'])
    await project.writeRun(name, { seed: name.charCodeAt(0) + name.charCodeAt(3) });
  await project.build();
  for (const name of ['A/r2', 'B/r1']) project.write(`${RUNS}/${name}/embeddings.npy`, 'x');
  project.write('data/a/consolidated_metadata.json', '{}');
  lie(project, 'process.availableMemory = () => 1;');
  const found = async (...args: string[]) =>
    (await doctor(project, ...args)).findings.map(({ code, path }) => `${code} ${path}`);
  const [a2, b1] = ['A/r2', 'B/r1'].map((name) => `run-unusable ${RUNS}/${name}/embeddings.npy`);
  const reference = 'reference-foreign data/a/consolidated_metadata.json';
  assert.equal((await found()).sort(), [reference, 'memory-short null', a2, b1].sort());
  assert.equal(await found('a'), [a2, reference]);
  assert.equal(await found('b'), [b1]);
  assert.equal(await found('A/r1'), []);
  assert.equal(await found('A/r2'), [a2]);
  assert.equal(await found(RUNS), [a2, b1]);
  assert.equal(await found(`${RUNS}/B`), [b1]);
  assert.equal(await found('./data/a'), [reference]);
  assert.equal(await found('data/a/consolidated_metadata.json', 'B/r1'), [b1, reference]);
  for (const [word, says] of [
    ['referense', /"referense" is no target, no run and no path of this project/],
    ['..', /"\.\." is not in this project/],
    ['/etc', /"\/etc" is not in this project/],
  ] as const) {
    const { code, stderr, stdout } = await project.firn('doctor', word);
    assert.equal([code, stdout], [2, '']);
    assert.match(stderr, says);
  }
  assert.is((await project.firn('doctor', '--quick', '--full')).code, 2);
});

const EVIL = "\u001b]0;x\u0007\u202e $(touch X)`'\n--";

test('hostile names are escaped, and a remedy is safe to paste', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1');
  const folder = project.path(`${RUNS}/${EVIL}/-rf ${EVIL}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'embedding.npy'), readFileSync(project.path(`${RUNS}/A/r1/embeddings.npy`)));
  project.write(`${RUNS}/${EVIL}/cut/embeddings.npy`, 'x');
  const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
  const { code, stdout, stderr } = await project.firn('doctor');
  assert.equal([code, stderr], [1, '']);
  assert.not.match(stdout, control);
  const json = await doctor(project);
  assert.not.match(json.finished.stdout, control);
  const misnamed = json.findings.find(({ code: found }) => found === 'run-misnamed');
  assert.is(misnamed?.path, `${RUNS}/${EVIL}/-rf ${EVIL}/embedding.npy`);
  // As it is printed, the command is what a shell takes for these very names.
  const [, pasted] = /-> `(mv -- .*)`\n/.exec(stdout) ?? [];
  assert.is(shell(project, pasted).code, 0, pasted);
  assert.ok(project.exists(`${RUNS}/${EVIL}/-rf ${EVIL}/embeddings.npy`));
  assert.not.ok(project.exists('X'));
});

test('a word for a shell is that word', () => {
  const project = new TestProject();
  for (const word of [
    'plain/a.npy',
    'a b',
    "it's",
    '$HOME',
    '`x`',
    '\\',
    '*',
    '',
    EVIL,
    'ä\u0301',
    '-la',
    '\u2028x',
    "a\u001bb'\\",
  ]) {
    assert.is(shell(project, `printf %s ${shellWord(word)}`).stdout, word);
    assert.not.match(shellWord(word), /[\u0000-\u001f\u007f-\u009f\u2028]/);
  }
});

test('it goes on behind each check that fails', async () => {
  const project = await healthyProject();
  project.write(`${RUNS}/A/r1/embeddings.npy`, '');
  project.remove('cache');
  lie(
    project,
    `const refuse = (name, real) => (path, ...rest) => {
  if (String(path).includes(name)) throw new TypeError('no ' + name);
  return real(path, ...rest);
};
fs.statfsSync = refuse('', fs.statfsSync);
fs.accessSync = refuse('data', fs.accessSync);`,
  );
  const { findings } = await doctor(project);
  const failed = findings.filter(({ code }) => code === 'check-failed').map(({ message }) => message);
  assert.ok(failed.length >= 2, failed.join('\n'));
  assert.ok(findings.some(({ code }) => code === 'run-unusable'));
});

test('a signal stops it', async () => {
  const project = await healthyProject();
  const abort = new AbortController();
  const reason = new FirnError('interrupted', 'interrupted');
  let told = 0;
  const running = diagnose({
    directory: project.root,
    full: true,
    signal: abort.signal,
    onProgress(done, total) {
      assert.ok(done <= total);
      told += 1;
      abort.abort(reason);
    },
  });
  await running.then(
    () => assert.unreachable('it went on'),
    (error: unknown) => assert.is(error, reason),
  );
  assert.ok(told > 0);
});

test('progress only goes forward, and ends where all is read', async () => {
  const project = await healthyProject();
  await project.firn('compress', 'A/*', '--execute');
  let [before, share] = [0, 0];
  await diagnose({
    directory: project.root,
    full: true,
    onProgress(done, total) {
      share = done / total;
      assert.ok(share >= before, `${done} of ${total}, after ${before}`);
      before = share;
    },
  });
  assert.is(share, 1);
});

test('a check that fails closes what it has opened', async () => {
  const project = await healthyProject();
  const open = new Set<string>();
  let refused = 0;
  const port: Port = Object.assign(Object.create(disk) as Port, {
    async open(path: string) {
      // Only the check of vectors reads an array and its index side by side.
      if (path.endsWith('.faiss') && open.has(path.replace('index.faiss', 'embeddings.npy'))) {
        refused += 1;
        throw Object.assign(new Error(`EMFILE: ${path}`), { code: 'EMFILE', path });
      }
      const handle = await disk.open(path);
      open.add(path);
      const close = (): Promise<void> => {
        open.delete(path);
        return handle.close();
      };
      return Object.assign(Object.create(handle), { close });
    },
  });
  const { findings } = await diagnose({ directory: project.root, full: true, port });
  assert.equal([refused, [...open], findings.map(({ code }) => code)], [1, [], ['check-failed']]);
});

/** How often the disk is asked for anything. */
async function questions(project: TestProject, only: string[]): Promise<number> {
  let asked = 0;
  const counting = { ...disk } as unknown as Record<string, unknown>;
  for (const [name, real] of Object.entries(disk)) {
    counting[name] = (...args: unknown[]) => {
      asked += 1;
      return (real as (...all: unknown[]) => unknown)(...args);
    };
  }
  const port = counting as unknown as Port;
  const { findings } = await diagnose({ directory: project.root, only, port });
  assert.equal(findings, []);
  return asked;
}

async function manyRuns(count: number): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('D0/r0', { rows: 1, dims: 2 });
  const bytes = project.read(`${RUNS}/D0/r0/embeddings.npy`);
  for (let i = 1; i < count; i++) project.write(`${RUNS}/D${i % 10}/r${i}/embeddings.npy`, bytes);
  return project;
}

test('the work for 5,000 runs is ten times that for 500', async () => {
  const [few, many] = [await manyRuns(500), await manyRuns(5000)];
  for (const only of [[], ['reference'], [RUNS]]) {
    const [one, ten] = [await questions(few, only), await questions(many, only)];
    assert.ok(ten < 10.5 * one, `${one} questions for 500 runs, ${ten} for 5,000, limited to ${only}`);
    assert.ok(one > 500, `${one} questions`);
  }
});

test('the table in docs/reference.md has every code, and no other', () => {
  const path = fileURLToPath(new URL('../../docs/reference.md', import.meta.url));
  const rows = [
    ...readFileSync(path, 'utf8').matchAll(/^\| `([a-z-]+)` \| (error|warning|advice) \| (.+) \| (.+) \|$/gm),
  ];
  assert.equal(Object.fromEntries(rows.map(([, code, severity]) => [code, severity])), CODES);
  assert.is(rows.length, Object.keys(CODES).length, 'each once');
});

test('every code is found by a test', () => {
  const folder = fileURLToPath(new URL('../../test/', import.meta.url));
  const files = ['runs', 'archived', 'references', 'build', 'machine'].map(
    (name) => `doctor-${name}.test.ts`,
  );
  const text = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  const untested = (Object.keys(CODES) as Code[]).filter(
    (code) => !new RegExp(`finds: \\[[^\\]]*'${code}'|${code}: only 100 files`).test(text),
  );
  assert.equal(untested, []);
});

test('a folder of a reference that is named by itself', async () => {
  const project = await healthyProject();
  const { findings, checked } = await doctor(project, REFERENCE);
  assert.equal(findings, []);
  assert.ok(checked.some(({ group, text }) => group === 'references' && text.startsWith(REFERENCE)));
});

test.run();
