/** The program itself: help, wrong requests, where it works, and exit codes. */
import { readdirSync, symlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Finished, TestProject } from './rig/project.js';
import { forAll } from './rig/running.js';

const test = suite('command line');

const PIPELINE = 'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n';

async function project(): Promise<TestProject> {
  const made = new TestProject(PIPELINE);
  await made.writeRun('A/r1');
  return made;
}

/** The help of every command and command of a command, found from the help itself. */
async function helpPages(here: TestProject, path: string[] = []): Promise<Map<string, Finished>> {
  const help = await here.firn(...path, '--help');
  // The program's stand under several headings.
  const listed = help.stdout.split('\n\n').filter((part) => !/^(Options|Examples):/.test(part));
  const names = listed
    .flatMap((part) => [...part.matchAll(/^ {2}([a-z][\w-]*)/gm)])
    .map((found) => found[1])
    .filter((name) => name !== 'help');
  const pages = new Map([[path.join(' '), help]]);
  await forAll(names, async (name) => {
    for (const [inner, page] of await helpPages(here, [...path, name])) pages.set(inner, page);
  });
  return pages;
}

test('each command has help with an example, and takes -C', async () => {
  const here = await project();
  const pages = await helpPages(here);
  for (const name of [
    'init',
    'build',
    'status',
    'why',
    'graph',
    'search',
    'compress',
    'versions',
    'versions tag-run',
    'clean',
    'doctor',
    'unlock',
  ]) {
    assert.ok(pages.has(name), `${name} among ${[...pages.keys()].join(', ')}`);
  }
  for (const [name, { code, stdout, stderr }] of pages) {
    assert.equal([code, stderr], [0, ''], name);
    assert.match(stdout, `Usage: firn ${name}${name === '' ? '' : ' '}`);
    assert.match(stdout, /\nExamples:\n {2}(\S.* )?firn /, name);
    assert.match(stdout, /-C, --directory <dir>/, name);
    assert.ok(
      stdout.split('\n').every((line) => line.length <= 120),
      `long lines in the help of ${name}`,
    );
  }
});

test('its version is its own, and that of a model is the model’s', async () => {
  const here = await project();
  const { stdout } = await here.firn('--version');
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.is((await here.firn('-V')).stdout, stdout);
  const { code } = await here.firn('versions', 'register', '--version', 'v1.0', '--model', 'm');
  assert.is(code, 0);
  assert.match((await here.firn('versions', 'list')).stdout, /v1\.0/);
});

test('wrong requests end with 2 and a hint, and print nothing else', async () => {
  const here = await project();
  const cases: [args: string[], says: RegExp][] = [
    [['bild'], /^firn: unknown command 'bild'\n {2}Did you mean "build"\?\n$/],
    [['build', '--dryrun'], /^firn: unknown option '--dryrun'\n {2}Did you mean "--dry-run"\?\n$/],
    [['build', '-j'], /argument missing/],
    [['build', '-j', 'two'], /^firn: --jobs must be a whole number of at least 1, found "two"\n$/],
    [['build', '-j', '0'], /--jobs must be a whole number of at least 1/],
    [['graph', '--format', 'png'], /Allowed choices are dot, mermaid, json, svg/],
    [['why'], /missing required argument 'target'\n {2}`firn why --help` shows how it is used\.\n$/],
    [['versions', 'register'], /\n {2}`firn versions register --help` shows/],
    [['help', 'bild'], /^firn: unknown command 'bild'\n {2}Did you mean "build"\?\n$/],
    [['status', 'refrence'], /there is no target "refrence"\n {2}Did you mean "reference"\?/],
    [['why', 'refrence'], /no target or step "refrence"\n {2}Did you mean "reference"\?/],
    [['build', '\u001b[31mred'], /there is no target "\\x1b\[31mred"/],
    [['\u001b[31mred'], /unknown command '\\x1b\[31mred'/],
    [['-C', 'nowhere', 'build'], /nowhere: there is no such folder\n/],
    [['-C', 'pipeline.yaml', 'build'], /pipeline\.yaml: is no folder\n/],
    [['-C', 'nowhere', 'runs', 'list'], /nowhere: there is no such folder\n/],
    [['runs', 'rm', 'A'], /no run is called A\n {2}For all runs of this dataset: 'A\/\*'\./],
    [[], /Usage: firn/],
  ];
  await forAll(cases, async ([args, says]) => {
    const { code, stdout, stderr } = await here.firn(...args);
    assert.match(stderr, says);
    assert.equal([code, stdout], [2, ''], args.join(' '));
    assert.not.match(stderr, /\n\s+at |\u001b/);
  });
});

test('a folder inside of a project is told from the project', async () => {
  const here = await project();
  assert.is((await here.firn('build')).code, 0);
  const inside = 'consolidated_data/runs';
  const calls = [
    ['build'],
    ['status'],
    ['runs', 'list'],
    ['compress'],
    ['versions', 'register', '--version', 'v1.0', '--model', 'm'],
    ['releases'],
    ['du'],
    ['backup', '../../../backup'],
    ['search', '--run', 'A/r1', '--seq-idx', '0'],
  ];
  await forAll(calls, async (args) => {
    const { code, stdout, stderr } = await here.firn('-C', inside, ...args);
    assert.equal([code, stdout], [2, ''], args.join(' '));
    assert.match(
      stderr,
      /runs: there is no pipeline\.yaml here\n {2}There is one in .*use `firn -C \.\.\/\.\.`/,
    );
  });
  assert.equal(readdirSync(here.path(inside)), ['A']);
  // What is asked of a directory that is named may be asked anywhere.
  const asked = [
    ['verify', '../../data/reference'],
    ['search', '--reference', '../../data/reference', '--run', 'A/r1', '--seq-idx', '0'],
  ];
  await forAll(asked, async (args) =>
    assert.is((await here.firn('-C', inside, ...args)).code, 0, args.join(' ')),
  );
});

test('-C before or behind the command, absolute or not', async () => {
  const here = await project();
  const outside = new TestProject();
  symlinkSync(here.root, outside.path('lab'));
  for (const args of [
    ['-C', here.root, 'build'],
    ['build', '-C', here.root],
    ['-C', 'lab', 'status'],
    ['status', `--directory=${here.root}`],
  ]) {
    const { code, stdout, stderr } = await outside.firn(...args);
    assert.is(code, 0, stderr);
    assert.match(stdout, /1 step|reference/);
  }
  assert.ok(here.exists('data/reference') && !outside.exists('data'));
});

test('a project with a name that needs care', async () => {
  const here = await project();
  const name = "it's a $(touch INJECTED) lab\n-x";
  const inner = new TestProject();
  inner.write(`${name}/pipeline.yaml`, PIPELINE);
  inner.write(
    `${name}/consolidated_data/runs/A/r1/embeddings.npy`,
    here.read('consolidated_data/runs/A/r1/embeddings.npy'),
  );
  const { code, stderr } = await inner.firn('-C', name, 'build');
  assert.is(code, 0, stderr);
  assert.ok(inner.exists(`${name}/data/reference/consolidated_embeddings.npy`) && !inner.exists('INJECTED'));
});

test('unlock removes the lock of a process that is gone, and asks about one that may not be', async () => {
  const here = await project();
  const none = await here.firn('unlock');
  assert.is(none.code, 1);
  assert.match(none.stderr, /cache\/lock: there is no lock/);
  const holder = {
    host: 'elsewhere',
    machine: 'm',
    boot: 'b',
    namespace: '',
    pid: 1,
    started: '1',
    command: 'firn build',
  };
  here.write('cache/lock/0123456789abcdef.json', JSON.stringify(holder));
  const asked = await here.firn('unlock');
  assert.is(asked.code, 1);
  assert.match(
    asked.stderr,
    /firn build \(pid 1 on elsewhere, in another container or on another machine, .*\) holds it and is not known to be gone\n {2}If you are sure .* `firn unlock --force`/,
  );
  assert.is((await here.firn('unlock', '--force')).stdout, 'the lock is removed\n');
  assert.not.ok(here.exists('cache/lock'));
});

test.run();
