/**
 * Names are data. Every command over a project whose datasets, runs, files, versions and sequences are named to be obeyed
 * by a shell, a terminal, a drawing or a parser: they work as they are, or are refused by name; what is printed holds
 * nothing that a terminal would obey; JSON, DOT and SVG stay what they are.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { formatJson, safe, safeLines } from '../src/cli/text.js';
import { disk } from '../src/files/disk.js';
import { temporaryFolder } from './rig/folder.js';
import { idsWith, PROGRAM, seededValues, stepOf, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { forAll } from './rig/running.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('hostile names');

/** As the program ends a build. */
const FORGED = '9 steps: 9 built (0.1 s)';
const NAMES = [
  'quote"s \'`',
  '$(touch owned)',
  '`touch owned`;touch owned',
  '-rf --force',
  `new\nline\n${FORGED}`,
  'tab\there\r',
  'esc\u001b[2J\u001b]0;owned\u0007\u009b1m\u007f',
  'bidi\u202eoiduts\u202c\u2066x\u2069\u200f\u061cy',
  'unseen\u200b\ufeff\u00ad\u2060\u{e0041}',
  'none\uffff\ufffe',
  'caf\u00e9',
  'cafe\u0301',
  '\u{1f469}\u200d\u{1f52c} \u05d0\u05d1',
  '__proto__',
  'constructor',
  'back\\slash\\n\\G',
  '&amp;<b>\'">]]>',
  '%s%d*?[a]{b}{in}',
  '#35; -> x; subgraph {',
  'x'.repeat(255),
];

/** What nothing but a line break may stand for itself. */
const OBEYED =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40/;

function checkText(text: string, what: string): void {
  const found = OBEYED.exec(text);
  assert.is(
    found,
    null,
    `${what}: ${JSON.stringify(found && text.slice(found.index - 20, found.index + 20))}`,
  );
  assert.not.ok(`\n${text}`.includes(`\n${FORGED}`), `${what} has a line of a name`);
}

const PIPELINE = `
targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2, version: "v\\u202e\\n1"}}
  compressed: {rule: compress, runs: {run: "runs-*/*"}}
  reference: {rule: consolidate, runs: {run: "runs-*/*"}, out: data/reference}
  embeddings: {rule: consolidate, runs: {version: "v\\u202e\\n1"}, out: "data/-r\\u202e\\n\\"$(touch owned)"}
  index: {rule: index, from: [reference, embeddings]}
  copies:
    rule: command
    from: "sequences/{set}/{name}.fasta"
    run: [cp, --, "{in}", "{out}"]
    out: "copies/-{set}/-{name}"
`;

/** Runs, and files of sequences, of every name; the names of rows are hostile too. */
async function hostileProject(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  for (const [i, name] of NAMES.entries()) {
    await project.writeRun(`runs-${i}/${name}`, { seed: i + 1, rows: 3 });
    const [dataset, file] = i % 2 === 0 ? [name.slice(0, 254), 'f'] : ['d', name.slice(0, 240)];
    project.write(
      `sequences/${dataset}/${file}.fasta`,
      `>${name.replace(/[\r\n]/g, '')}\u001b[1m\u202e\nACGTTGCA\n>short\u009b\nA\n`,
    );
  }
  return project;
}

let shared: Promise<TestProject> | undefined;
function builtProject(): Promise<TestProject> {
  shared ??= (async () => {
    const project = await hostileProject();
    const first = await project.firn('build', '-j', '2');
    assert.is(first.code, 0, first.stderr.slice(-2000));
    checkText(first.stdout, 'build');
    checkText(first.stderr, 'build');
    return project;
  })();
  return shared;
}

test('all of them are built, row by row, and nothing of a name was run', async () => {
  const project = await builtProject();
  const { names, rowsOf } = project.reference();
  assert.equal([...names].sort(), NAMES.map((name, i) => `runs-${i}/${name}`).sort());
  for (const [i, name] of NAMES.entries())
    assert.equal(rowsOf(`runs-${i}/${name}`), seededValues(i + 1, 24), name);
  for (const [i, name] of NAMES.entries()) {
    const [dataset, file] = i % 2 === 0 ? [name.slice(0, 254), 'f'] : ['d', name.slice(0, 240)];
    assert.ok(project.exists(`copies/-${dataset}/-${file}`), name);
  }
  assert.not.ok(project.exists('owned'));
  assert.equal(project.leftovers(), []);
  const again = await project.build();
  assert.is(
    again.fresh,
    again.steps.length,
    JSON.stringify(again.steps.filter(({ status }) => status !== 'fresh')),
  );
});

test('every command over them says nothing that a terminal obeys, and JSON is JSON', async () => {
  const project = (await builtProject()).clone();
  const run = `runs-4/${NAMES[4]}`;
  const version = 'v\u202e\n1';
  mkdirSync(project.path('other'));
  const rows = NAMES.map((name) => ({ dataset: name, run_id: name, seq_idx: 0, source_file: name }));
  project.write('other/consolidated_metadata.json', JSON.stringify({ sequences: [...rows, rows[4]] }));
  const array = await createNpy(disk, project.path('other/consolidated_embeddings.npy'), {
    dtype: 'f4',
    dims: 1,
  });
  await array.write(new Uint8Array(4 * (NAMES.length + 1)));
  await array.finish();
  const sequences: string[][] = [
    ['versions', 'register', '--version', version, '--model', 'm\u001b[1m', '--description', 'd\n\u202e'],
    ['versions', 'register', '--version', `w${version}`, '--model', 'm\u001b[1m'],
    ['versions', 'tag-run', run, '--version', `w${version}`],
    ['versions', 'tag-run', run, '--version', version],
    ['versions', 'tag-run', run, '--version', version, '--force', '--json'],
    ['versions', 'auto-tag', '--version', version],
    ['versions', 'auto-tag', '--version', version, '--json'],
    ['compress', '--execute', '--json', '--precision', 'float16'],
  ];
  const check = async (args: string[], where = project): Promise<number | null> => {
    const { code, stdout, stderr } = await where.firn(...args);
    const what = args.join(' ').slice(0, 80);
    assert.ok(code !== null && code <= 2, `${what}: ${code} ${stderr.slice(-1500)}`);
    checkText(stdout, what);
    checkText(stderr, what);
    if ((args.includes('--json') || args.includes('json')) && stdout !== '') JSON.parse(stdout);
    assert.not.match(stderr, /TypeError|RangeError|at .*\.js:/, what);
    return code;
  };
  for (const args of sequences) await check(args);
  const asked = [
    ['build', '-n', '--explain'],
    ['build', '-n', '--json'],
    ['build', '--force', 'reference', '--explain'],
    ['build', '--force', 'index', '--json'],
    ['build', run],
    ['status'],
    ['status', '--json'],
    ['why', 'reference'],
    ['why', `compressed:${run}`, '--json'],
    ['why', `compressed:${run}x`],
    ...['dot', 'mermaid', 'svg', 'json'].flatMap((format) => [
      ['graph', '--format', format],
      ['graph', '--steps', '--format', format],
    ]),
    ['search', '--run', run, '--seq-idx', '0'],
    ['search', '--run', run, '--seq-idx', '9'],
    ['search', '--run', run, '--seq-idx', '0', '--json'],
    ['search', '--run', `A/\u001b[2J\n${FORGED}`, '--seq-idx', '0'],
    ['search', '--run', `${'y'.repeat(300)}/r`, '--seq-idx', '0'],
    ['search', '--reference', 'data/-r\u202e\n"$(touch owned)', '--query', 'ACGTTGCA'],
    ['search', '--reference', 'data/-r\u202e\n"$(touch owned)', '--query', 'ACGTTGCA', '--json'],
    ['search', '--query', 'AC\u001b[1mGT'],
    ['search', '--reference', `no\u202e\n${FORGED}`, '--query', 'ACGT'],
    ['versions', 'list'],
    ['versions', 'list', '--json'],
    ['versions', 'compare', version, `w${version}`],
    ['versions', 'compare', version, `w${version}`, '--json'],
    ['versions', 'compare', version, '\u001b[1m'],
    ['compress'],
    ['compress', '--json'],
    ['compress', `\u202e\n${FORGED}`],
    ['clean', '--all'],
    ['clean', '--all', '--json'],
    ['adopt', `data/-r\u202e\n"$(touch owned)`],
    ['adopt', 'other'],
    ['runs', 'list'],
    ['runs', 'list', '--json'],
    ['runs', 'archive', run, '--to', '/nowhere\u202e'],
    ['runs', 'archive', '--to', 'elsewhere', '--json'],
    ['runs', 'rm', run],
    ['runs', 'restore', run],
    ['du'],
    ['du', '--json'],
    ['doctor', '--full', '--all'],
    ['doctor', '--json'],
    ['doctor', run],
    ['cache', 'info'],
    ['cache', 'gc', '--dry-run', '--json'],
    ['releases'],
    ['release', `v1\u202e\n${FORGED}`],
    ['verify', 'data/reference'],
    ['verify', `no\u202e\n${FORGED}`],
    ['build', '--check'],
    ['init'],
    ['unlock'],
    [`\u001b[2J\n${FORGED}`],
    ['build', `--\u001b[2J\n${FORGED}`],
    ['graph', '--format', `\u202e\n${FORGED}`],
    ['search', '--top-k', `\u202e\n${FORGED}`],
    ['-C', `no\u202e\n${FORGED}`, 'status'],
  ];
  await forAll(asked, async (args) => void (await check(args)));
  // Another one, in which no run has another version since.
  const other = (await builtProject()).clone();
  const backup = join(temporaryFolder(), 'bag');
  const [gone, archive] = [`runs-6/${NAMES[6]}`, join(backup, '..', 'archive\u202e\n')];
  for (const args of [
    ['backup', backup, '--include', 'runs,inputs,outputs'],
    ['verify', backup],
    ['restore', backup, '--dry-run'],
    ['runs', 'archive', gone, '--to', archive, '--execute'],
    ['runs', 'list', '--json'],
    ['build', '-n'],
    ['runs', 'restore', gone, '--execute'],
    ['release', 'v1', '--date', '2024-11-30', '--reference', 'reference', '--archive', 'zip'],
    ['releases', '--json'],
    ['verify', 'v1'],
  ])
    assert.is(await check(args, other), 0, args.join(' '));
  assert.ok(project.exists('other/consolidated_metadata.before-adopt.json'));
  assert.not.ok(project.exists('owned'));
  // What is named in JSON is the very name.
  const { targets } = JSON.parse((await project.firn('status', '--json')).stdout) as {
    targets: { target: string; steps: { id: string }[] }[];
  };
  const ids = targets.find(({ target }) => target === 'compressed')?.steps.map(({ id }) => id) ?? [];
  for (const [i, name] of NAMES.entries()) assert.ok(ids.includes(`compressed:runs-${i}/${name}`), name);
});

test('failures name them safely, one by one', async () => {
  const project = (await builtProject()).clone();
  for (const [i, name] of NAMES.entries()) {
    const path = `consolidated_data/runs/runs-${i}/${name}/embeddings.npy`;
    project.write(path, project.read(path).subarray(0, 90));
    if (i % 2 === 0) project.write(`sequences/${name}/f.fasta`, 'no header\n');
    else project.write(`sequences/d/${name.slice(0, 240)}.fasta`, '>a\nJJJ\n');
  }
  for (const args of [
    ['build', '-k', '-j', '2'],
    ['build', '-n', '--explain'],
    ['status'],
    ['compress'],
    ['clean', '--all', '--execute'],
  ]) {
    const { code, stdout, stderr } = await project.firn(...args);
    assert.is(code, args[0] === 'clean' || args[0] === 'status' ? 0 : 1, args.join(' '));
    checkText(stdout, args.join(' '));
    checkText(stderr, args.join(' '));
  }
  const { stderr } = await project.firn('build', '-k');
  assert.match(
    stderr,
    /FAILED compressed:runs-6\/esc\\x1b\[2J\\x1b\]0;owned\\x07\\x9b1m\\x7f: .*is truncated/,
  );
  assert.match(stderr, /FAILED compressed:runs-4\/new\\x0aline\\x0a9 steps: 9 built \(0\.1 s\): /);
});

test('init writes a pipeline for whatever versions there are', async () => {
  const project = new TestProject();
  const versions = [
    'v\u202e\n1',
    '"quoted": {',
    '- x',
    '#',
    '1.10',
    '\u{1f9ec}',
    '__proto__',
    '*a',
    '\ud800',
  ];
  for (const [i, version] of versions.entries()) {
    await project.writeRun(`A/r${i}`, { seed: i + 1 });
    project.write(`consolidated_data/runs/A/r${i}/embedding_run.json`, JSON.stringify({ version }));
  }
  const { code, stdout, stderr } = await project.firn('init');
  assert.is(code, 0, stderr);
  checkText(stdout + stderr, 'init');
  const plan = await project.plan();
  assert.is(plan.steps.filter(({ id }) => id.startsWith('reference')).length, versions.length);
  assert.equal((await project.build()).failed, 0);
});

async function draw(project: TestProject, format: string): Promise<string> {
  return (await project.firn('graph', '--steps', '--format', format)).stdout;
}

oracleTest(test, ['xml.etree.ElementTree'], 'SVG is well-formed', async () => {
  const project = await builtProject();
  const texts = JSON.parse(
    python(
      'import json, sys, xml.etree.ElementTree as E\nprint(json.dumps([t.text for t in E.fromstring(sys.argv[1]).iter("{http://www.w3.org/2000/svg}text")]))',
      await draw(project, 'svg'),
    ),
  ) as string[];
  assert.is(texts.length, (await project.plan()).steps.length);
  for (const [i, name] of NAMES.entries())
    assert.ok(texts.includes(`${safe(`compressed:runs-${i}/${name}`)} (compress)`), name);
});

testWhere(test, programLacks('dot', '-V'), 'DOT is read by Graphviz', async () => {
  const project = await builtProject();
  const { status, stdout, stderr } = spawnSync('dot', ['-Tjson'], {
    input: await draw(project, 'dot'),
    encoding: 'utf8',
    maxBuffer: 1 << 27,
  });
  assert.is(status, 0, stderr);
  const { objects } = JSON.parse(stdout) as { objects: { name: string }[] };
  assert.is(objects.length, (await project.plan()).steps.length);
});

test('the name of a run is that run, and no pattern for others', async () => {
  const project = new TestProject(
    'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n',
  );
  const names = ['A/r1', 'A/r[1]', 'A/a*', 'A/ab', 'A/{a,b}', 'A/b', 'A/q?', 'A/qq', 'A/back\\slash'];
  for (const [i, name] of names.entries()) await project.writeRun(name, { seed: i + 1 });
  await project.build();
  const chosen = async (...words: string[]) =>
    (
      JSON.parse((await project.firn('compress', '--json', ...words)).stdout) as { runs: { run: string }[] }
    ).runs
      .map(({ run }) => run)
      .sort();
  for (const name of names) assert.equal(await chosen(name), [name]);
  assert.equal(await chosen('r[1]'), ['A/r[1]']);
  assert.equal(await chosen('A/r[1-9]'), ['A/r1']);
  assert.equal(await chosen('A/{r1,b}'), ['A/b', 'A/r1']);
  const removed = await project.firn('runs', 'rm', 'A/r[1]', 'A/a*', '--execute');
  assert.is(removed.code, 0, removed.stderr);
  for (const name of names)
    assert.is(project.exists(`consolidated_data/runs/${name}`), name !== 'A/r[1]' && name !== 'A/a*', name);
});

test('names that are not UTF-8 are passed over by name, and no other file is read in their place', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  const bytes = (path: string, ...name: number[]): Buffer =>
    Buffer.concat([Buffer.from(`${project.root}/${path}`), Buffer.from(name)]);
  await project.writeRun('A/r1', { seed: 1 });
  // The very name that the others seem to have.
  await project.writeRun('A/caf\ufffd', { seed: 2, dims: 16 });
  project.write('sequences/B/caf\ufffd.fasta', '>a\nACGT\n');
  for (const [i, byte] of [0xe8, 0xe9].entries()) {
    const run = bytes('consolidated_data/runs/A/caf', byte);
    mkdirSync(run);
    writeFileSync(
      Buffer.concat([run, Buffer.from('/embeddings.npy')]),
      project.read('consolidated_data/runs/A/r1/embeddings.npy'),
    );
    writeFileSync(bytes('sequences/B/caf', byte, ...Buffer.from('.fasta')), `>b${i}\nTTTT\n`);
    mkdirSync(bytes('sequences/caf', byte));
    writeFileSync(bytes('sequences/caf', byte, ...Buffer.from('/x.fasta')), '>c\nTTTT\n');
  }
  project.remove('consolidated_data/runs/A/r1');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0, stderr);
  const told = stderr.split('\n').filter((line) => line.startsWith('passed over'));
  assert.is(told.length, 4, stderr);
  for (const line of told) assert.match(line, /caf\ufffd.*: it has a name that is not UTF-8; rename it$/);
  assert.equal([...project.reference().names].sort(), ['A/caf\ufffd', 'B/caf\ufffd']);
  assert.is(project.read('consolidated_data/runs/B/caf\ufffd/sequence_names.txt').toString(), 'a\n');

  // A pipeline.yaml in Latin-1 names no other file either.
  project.write(
    'pipeline.yaml',
    Buffer.from(
      'targets:\n  c: {rule: command, from: "sequences/B/caf\xe9.fasta", run: [cp, "{in}", "{out}"], out: c}\n',
      'latin1',
    ),
  );
  const latin = await project.firn('build');
  assert.is(latin.code, 2);
  assert.match(latin.stderr, /^firn: pipeline\.yaml:2:\d+: not UTF-8 here/);
});

test('a folder whose name is not UTF-8 is not taken for another', () => {
  const project = new TestProject();
  project.write('caf\ufffd/pipeline.yaml', PIPELINE);
  const odd = Buffer.concat([Buffer.from(`${project.root}/caf`), Buffer.from([0xe9])]);
  mkdirSync(odd);
  const { status, stderr, stdout } = spawnSync(
    'sh',
    [
      '-c',
      'cd "$(printf "$1/caf\\351")" && exec "$2" "$3" status',
      'sh',
      project.root,
      process.execPath,
      PROGRAM,
    ],
    { encoding: 'utf8' },
  );
  assert.is(status, 2, stderr + stdout);
  assert.match(stderr, /the path of this folder is not UTF-8/);
});

test('links that lead round in a circle, out or nowhere', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}
  all: {rule: command, from: "sequences/**", run: [cat, "{in}"], out: x}
`);
  project.write('sequences/A/good.fasta', '>a\nACGT\n');
  const link = (from: string, to: string) => symlinkSync(to, project.path(from));
  link('sequences/A/loop.fasta', 'loop.fasta');
  link('sequences/A/nowhere.fasta', 'none');
  link('sequences/round', '.');
  link('sequences/up', '../..');
  link('sequences/ping', 'pong');
  link('sequences/pong', 'ping');
  const { code, stderr } = await project.firn('build', 'embedded');
  assert.is(code, 0, stderr);
  for (const path of ['A/loop.fasta', 'A/nowhere.fasta', 'ping', 'pong'])
    assert.match(stderr, `passed over ${project.root}/sequences/${path}: it is a link that leads nowhere\n`);
  for (const [field, text] of Object.entries({
    from: 'targets:\n  c: {rule: command, from: sequences/ping, run: [cp, "{in}", "{out}"], out: c}\n',
    out: 'targets:\n  c: {rule: command, run: [touch, "{out}"], out: sequences/ping/c}\n',
    runs: 'runs: sequences/ping\ntargets:\n  c: {rule: compress}\n',
    versions: 'versions: sequences/ping\ntargets:\n  c: {rule: consolidate, runs: {version: v}, out: c}\n',
  })) {
    project.write('pipeline.yaml', text);
    await project.writeRun('A/r1');
    const failed = await project.firn('build');
    assert.ok(failed.code === 1 || failed.code === 2, `${field}: ${failed.stderr}`);
    assert.match(failed.stderr, /sequences\/ping[\s\S]*round in a circle/, `${field}: ${failed.stderr}`);
  }
});

test('names and paths that are too long are refused before anything is written', async () => {
  const project = new TestProject();
  const long = (out: string) => `targets:\n  c: {rule: command, run: [touch, "{out}"], out: ${out}}\n`;
  for (const [out, says] of [
    ['x'.repeat(256), /a name has 256 bytes, more than the 255/],
    [`a/${'\u00e9'.repeat(128)}/b`, /a name has 256 bytes/],
    [`${'d/'.repeat(2047)}xy`, /a path has 4096 bytes, more than the 4095/],
    ['"a\\ud800"', /half of a character/],
    ['"\\udc00/x"', /half of a character/],
  ] as const) {
    project.write('pipeline.yaml', long(out));
    const { code, stderr } = await project.firn('build');
    assert.is(code, 2, stderr);
    assert.match(stderr, /^firn: pipeline\.yaml:2:/);
    assert.match(stderr, says);
  }
  // Short enough by itself; where the project stands it is not.
  project.write('pipeline.yaml', long(`${'d/'.repeat(2046)}x`));
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['c']);
  assert.match(stepOf(result, 'c').error ?? '', /the name is too long \(ENAMETOOLONG\)/);
  assert.equal(readdirSync(project.root).sort(), ['cache', 'pipeline.yaml']);
  // The longest that fits works.
  project.write('pipeline.yaml', long(`${'y'.repeat(255)}/${'z'.repeat(255)}`));
  assert.equal(idsWith(await project.build(), 'ran'), ['c']);
  assert.ok(project.exists(join('y'.repeat(255), 'z'.repeat(255))));
});

test('what is shown, and what is left', () => {
  assert.is(
    safe('a\u001b\u202e\u{e0041}\ud800\uffff\n\u200d'),
    'a\\x1b\\u202e\\u{e0041}\\ud800\\uffff\\x0a\u200d',
  );
  assert.is(safeLines('one\n  two\nthree\n  fo\tur\n'), 'one\n  two\\x0athree\n  fo\\x09ur');
  const value = { 'a\u202e\u{e0041}\ud800\u007f': ['\uffff\n'] };
  const text = formatJson(value);
  checkText(text, 'JSON');
  assert.equal(JSON.parse(text), value);
});

test.run();
