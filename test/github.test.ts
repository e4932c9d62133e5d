/**
 * Builds in the log of GitHub Actions, read by the rules of its runner (ActionCommand.cs and ActionCommandManager.cs of
 * github.com/actions/runner): what firn means to say arrives, and no name and no program's line becomes a command.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { neutral, neutralJson, workflowCommand } from '../src/cli/github.js';
import { temporaryFolder } from './rig/folder.js';
import { type Finished, parse, TestProject } from './rig/project.js';
import { shell } from './rig/running.js';

const test = suite('github');

interface RunnerCommand {
  name: string;
  properties: { [key: string]: string };
  data: string;
}

const KNOWN = [
  'group',
  'endgroup',
  'error',
  'warning',
  'notice',
  'debug',
  'add-mask',
  'add-matcher',
  'stop-commands',
];
const OLD = ['set-env', 'set-output', 'save-state', 'add-path', 'echo', 'remove-matcher'];
const COMMANDS = [...KNOWN, ...OLD];

const unescapeData = (text: string) =>
  text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
const unescapeProperty = (text: string) =>
  text
    .replaceAll('%0D', '\r')
    .replaceAll('%0A', '\n')
    .replaceAll('%3A', ':')
    .replaceAll('%2C', ',')
    .replaceAll('%25', '%');

/** What the runner makes of one line: the newer form first, then the older. */
function commandIn(line: string): RunnerCommand | undefined {
  // .NET's TrimStart; \s lacks only NEL of what that takes off.
  const text = line.replace(/^[\s\u0085]+/, '');
  if (text.startsWith('::')) {
    const end = text.indexOf('::', 2);
    if (end >= 0) {
      const info = text.slice(2, end);
      const space = info.indexOf(' ');
      const name = (space < 0 ? info : info.slice(0, space)).toLowerCase();
      if (COMMANDS.includes(name)) {
        const properties: { [key: string]: string } = {};
        for (const pair of space < 0
          ? []
          : info
              .slice(space + 1)
              .trim()
              .split(',')) {
          const at = pair.indexOf('=');
          // An empty value is passed over.
          if (at > 0 && at + 1 < pair.length)
            properties[pair.slice(0, at)] = unescapeProperty(pair.slice(at + 1));
        }
        return { name, properties, data: unescapeData(text.slice(end + 2)) };
      }
    }
  }
  const prefix = line.indexOf('##[');
  const close = prefix < 0 ? -1 : line.indexOf(']', prefix);
  if (close < 0) return undefined;
  const name = line
    .slice(prefix + 3, close)
    .split(' ')[0]
    .toLowerCase();
  return COMMANDS.includes(name)
    ? { name: `old ${name}`, properties: {}, data: line.slice(close + 1) }
    : undefined;
}

/** The lines as the runner reads them: every kind of line end is one. */
function commandsOf(text: string): RunnerCommand[] {
  return text.split(/\r\n|[\r\n]/).flatMap((line) => commandIn(line) ?? []);
}

/** Checks that groups open and close in turn; the lines in each, by title in the order of opening. */
function groupsOf(stderr: string): { title: string; lines: string[] }[] {
  const groups: { title: string; lines: string[] }[] = [];
  let open = false;
  for (const line of stderr.split('\n')) {
    const command = commandIn(line);
    if (command?.name === 'group') {
      assert.not.ok(open, `${line} inside another group`);
      open = true;
      groups.push({ title: command.data, lines: [] });
    } else if (command?.name === 'endgroup') {
      assert.ok(open, 'a group is closed twice');
      open = false;
    } else if (open && command === undefined) groups.at(-1)?.lines.push(line);
  }
  assert.not.ok(open, 'a group stays open');
  return groups;
}

const HOSTILE = '::error::pwned ##[add-mask]x, a=b:c%0A%25|<b>`*_[x](y)';

function onGitHub(project: TestProject): TestProject {
  project.env = { GITHUB_ACTIONS: 'true', CI: 'true', GITHUB_WORKSPACE: project.root };
  return project;
}

const NODE = JSON.stringify(process.execPath);

test('the model of the runner finds commands where there are some', () => {
  assert.is(commandIn('  ::error file=a%2Cb,line=1::x%0Ay')?.properties.file, 'a,b');
  assert.is(commandIn('  ::error file=a,line=1::x%0Ay')?.data, 'x\ny');
  assert.is(commandIn('step| ##[group]x')?.name, 'old group');
  assert.is(commandIn('::nothing::x'), undefined);
});

test('any text reaches the runner in a command as it is, on one line', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('::', '##[', 'error', ']', '%', '%0A', '\n', ',', ':', '=', ' ', 'a'))
      .map((parts) => parts.join('')),
  );
  const printable = text.map((value) => value.replace(/[^\x20-\x7e\n]/g, ''));
  // Blanks at the ends of all properties are lost to the runner.
  const property = printable.map((value) => `a${value}z`);
  fc.assert(
    fc.property(printable, property, property, (message, title, file) => {
      const command = workflowCommand('error', message, { title, file, line: 3, col: 4 });
      assert.not.ok(command.includes('\n'));
      const read = commandIn(command);
      assert.is(read?.name, 'error');
      assert.is(read?.data, message);
      assert.equal(read?.properties, { title, file, line: '3', col: '4' });
    }),
  );
});

test('no text is a command once it is neutral, and harmless text stays as it is', () => {
  const piece = fc.constantFrom(
    ...COMMANDS,
    '::',
    ':',
    '##[',
    '#',
    '[',
    ']',
    '\n',
    '\r',
    ' ',
    '\t',
    '\u00a0',
    '\u3000',
    '\u2028',
    'a',
    '=',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join('');
      assert.equal(commandsOf(neutral(text)), []);
      if (!/::|##\[/.test(text)) assert.is(neutral(text), text);
    }),
    { numRuns: 2000 },
  );
  const json = JSON.stringify({ [HOSTILE]: ['::error::x', '##[debug]x'] }, null, 2);
  assert.equal(commandsOf(neutralJson(json)), []);
  assert.equal(JSON.parse(neutralJson(json)), JSON.parse(json));
});

test('a build shows its steps in groups and the outcome outside', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`),
  );
  await project.writeRun('A/r1');
  const first = await project.firn('build');
  assert.is(first.code, 0);
  assert.equal(groupsOf(first.stderr), [
    { title: 'reference', lines: ['run reference: never built'] },
    {
      title: 'index:reference',
      lines: ['run index:reference: never built'],
    },
  ]);
  assert.match(
    first.stderr,
    /^::endgroup::\n\[1\/2\] built reference in .*\(runs 1, rows 20, dims 8, retained 0\)\n::group::/m,
  );
  assert.match(first.stdout, /^2 steps: 2 built/);
  const second = await project.firn('build');
  assert.is(second.stderr, '');
  assert.match(second.stdout, /^nothing to do: 2 steps fresh/);
});

test('elsewhere there are no commands, also where CI is set', async () => {
  const project = new TestProject(`targets:
  bad: {rule: command, from: pipeline.yaml, out: x, run: [${NODE}, -e, "process.exit(2)"]}
`);
  for (const env of [{}, { CI: 'true' }, { GITHUB_ACTIONS: 'false' }] as Record<string, string>[]) {
    project.env = env;
    const { stderr } = await project.firn('build');
    assert.equal(commandsOf(stderr), []);
    assert.match(stderr, /^\[1\/1\] FAILED bad: /m);
  }
});

test('what a program prints and what a file is called is never a command', async () => {
  const program = `
const { writeFileSync } = require('node:fs');
const words = ${JSON.stringify([...COMMANDS.map((name) => `::${name}::x`), ...COMMANDS.map((name) => `##[${name}]x`)])};
for (const word of words) {
  console.log(word);
  console.error('   ' + word + '\\r');
  console.log('\\u001b[0m' + word + '\\u2028' + word);
  console.log('99%\\r' + word);
}
if (process.argv[3].includes('fails')) process.exit(1);
writeFileSync(process.argv[2], '');
`;
  const name = HOSTILE.replaceAll('/', '');
  const project = onGitHub(
    new TestProject(`targets:
  each:
    rule: command
    from: "in/{name}.txt"
    out: "out/{name}.txt"
    run: [${NODE}, program.cjs, "{out}", "{in}"]
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}
  reference: {rule: consolidate, runs: all, out: data/reference}
`),
  );
  project.write('program.cjs', program);
  project.write(`in/${name}.txt`, '');
  project.write(`in/${name}\n::error::second line fails.txt`, '');
  project.write(`sequences/${name}\n##[group]x/${name}.fasta`, `>::error::a\nACGTT\n>${HOSTILE}\nA\n`);
  const { code, stderr, stdout } = await project.firn('build', '-k', '-j', '3');
  assert.is(code, 1);
  assert.equal(commandsOf(stdout), []);
  const commands = commandsOf(stderr);
  assert.equal([...new Set(commands.map((command) => command.name))].sort(), [
    'endgroup',
    'error',
    'group',
    'warning',
  ]);
  // A line break in a name is shown as what it is, so a name is one line wherever it stands.
  const shown = `${name}\\x0a::error::second line fails`;
  const errors = commands.filter((command) => command.name === 'error');
  assert.is(errors.length, 1);
  assert.ok(errors[0].properties.title.startsWith('each:'), errors[0].properties.title);
  assert.ok(errors[0].data.includes('ended with exit code 1'));
  const warnings = commands.filter((command) => command.name === 'warning');
  assert.is(warnings.length, 1);
  assert.ok(warnings[0].data.includes('1 of 2 sequences'), warnings[0].data);
  const groups = groupsOf(stderr);
  const lines = groups.flatMap((group) => group.lines);
  // Everything that was printed is there: four lines a word, of two programs.
  assert.is(lines.filter((line) => /^ {2}each:.*\| /.test(line)).length, 2 * 4 * 2 * COMMANDS.length);
  assert.ok(stderr.includes('  each:'));
  assert.ok(groups.some((group) => group.title.includes(shown.slice(0, 20))));
  for (const args of [
    ['status'],
    ['build', '-n', '--explain'],
    ['build', '--check', '-k'],
    ['graph', '--steps'],
    ['build', '--json', '-k'],
  ]) {
    const told = await project.firn(...args);
    assert.equal(commandsOf(told.stdout), [], args.join(' '));
    assert.not.ok(
      commandsOf(told.stderr).some((command) => !['warning'].includes(command.name)),
      args.join(' '),
    );
    if (args.includes('--json')) parse(told);
  }
});

test('of steps side by side one is shown as it goes, and none of their lines is lost', async () => {
  const lines = 3000;
  const project = onGitHub(
    new TestProject(`targets:
  each:
    rule: command
    from: "in/{name}.txt"
    out: "out/{name}.txt"
    run: [${NODE}, program.cjs, "{name}", "{out}"]
`),
  );
  project.write(
    'program.cjs',
    `const [name, out] = process.argv.slice(2);
let i = 0;
const more = () => {
  for (let n = 0; n < 100; n++, i++) console.log(name + ' says ' + i + ' ' + 'x'.repeat(60));
  if (i < ${lines}) setImmediate(more); else require('node:fs').writeFileSync(out, '');
};
more();
`,
  );
  const names = ['a', 'b', 'c'];
  for (const name of names) project.write(`in/${name}.txt`, '');
  const { code, stderr } = await project.firn('build', '-j', '3');
  assert.is(code, 0, stderr.slice(-500));
  const groups = groupsOf(stderr);
  for (const name of names) {
    const own = groups.filter(({ title }) => title === `each:${name}` || title === `each:${name} (goes on)`);
    assert.is(own[0].title, `each:${name}`);
    assert.ok(own.slice(1).every(({ title }) => title.endsWith('(goes on)')));
    const told = own.flatMap((group) => group.lines);
    assert.is(told.length, lines + 1);
    assert.match(told[0], new RegExp(`^run each:${name}: `));
    for (let i = 0; i < lines; i++) assert.ok(told[i + 1].includes(`| ${name} says ${i} `), told[i + 1]);
  }
});

test('an error in pipeline.yaml points at its line, as seen from the repository', async () => {
  const project = onGitHub(new TestProject());
  project.write(
    'lab, one/pipeline.yaml',
    'targets:\n  reference: {rule: konsolidate, runs: all, out: data}\n',
  );
  const { code, stderr } = await project.firn('-C', 'lab, one', 'build');
  assert.is(code, 2);
  const [error, ...others] = commandsOf(stderr);
  assert.equal(others, []);
  assert.equal(error.properties, { file: 'lab, one/pipeline.yaml', line: '2', col: '21', title: 'firn' });
  assert.is(error.data, 'pipeline.yaml:2:21: unknown rule "konsolidate"\n  Did you mean "consolidate"?');
  project.env.GITHUB_WORKSPACE = `${project.root}/elsewhere`;
  const outside = commandsOf((await project.firn('-C', 'lab, one', 'build')).stderr);
  assert.equal(outside[0].properties, { title: 'firn' });
});

test('warnings become annotations, in builds and dry runs', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  later: {rule: consolidate, runs: {version: v9}, out: data/later}
`),
  );
  await project.writeRun('A/r1');
  for (const args of [['build', '-n'], ['build']]) {
    const [warning, ...others] = commandsOf((await project.firn(...args)).stderr).filter(
      ({ name }) => name === 'warning',
    );
    assert.equal(others, []);
    assert.is(warning.data, 'later: `runs` selects no run, so there is nothing to build yet');
  }
});

async function page(project: TestProject, ...args: string[]): Promise<{ text: string; finished: Finished }> {
  project.env.GITHUB_STEP_SUMMARY = project.path('summary.md');
  const finished = await project.firn(...args);
  return { text: project.exists('summary.md') ? project.read('summary.md').toString() : '', finished };
}

test('the job summary tells steps, rows, recall and sizes, and is appended to', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  compressed: {rule: compress, runs: all}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference, with: {nlist: 4}}
`),
  );
  await project.writeRun('A/r1', { rows: 1200, dims: 8 });
  writeFileSync(project.path('summary.md'), '# Before\n\n');
  const { text } = await page(project, 'build');
  assert.match(
    text,
    /^# Before\n\n### firn build: 3 steps: 3 built \(.*\)\n\n\| step \| state \| rows \| recall \| size \| time \|\n/,
  );
  assert.match(text, /\| <code>reference<\/code> \| built \| 1,200 \| {2}\| [0-9.]+ kB \| .* s? ?\|\n/);
  assert.match(text, /\| <code>index&#58;reference<\/code> \| built \| 1,200 \| (0\.\d+|1) \| [0-9.]+ kB \|/);
  const again = (await page(project, 'build', '--json')).text;
  assert.ok(again.startsWith(text));
  assert.match(
    again.slice(text.length),
    /^### firn build: nothing to do: 3 steps fresh \(.*\)\n[\s\S]*\| fresh \| 1,200 \|/,
  );
  for (const args of [['build', '-n'], ['build', '--check'], ['status']]) {
    assert.is((await page(project, ...args)).text, again, args.join(' '));
  }
});

test('names in the job summary are text and nothing else', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}
  bad: {rule: command, from: pipeline.yaml, out: x, run: [${NODE}, -e, "console.log('</pre><script>\\\\n\\\\n# hi\\\\n| a | b |'); process.exit(1)"]}
`),
  );
  const name = 'a|b<img src=x onerror=1>`*_~[l](u)@me #1 &amp;\\';
  project.write(`sequences/${name}/${name}\n\n# title.fasta`, '>a\nACGTT\n>b\nA\n');
  const { text, finished } = await page(project, 'build', '-k');
  assert.is(finished.code, 1);
  const table = text.split('\n').filter((line) => line.startsWith('|'));
  assert.is(table.length, 4);
  for (const line of table) assert.is(line.split('|').length, 8, line);
  for (const [, inside] of text.matchAll(/<(?:code|pre)>([\s\S]*?)<\/(?:code|pre)>/g)) {
    assert.match(inside, /^([\p{L}\p{N} \n]|&#\d+;)*$/u);
  }
  const outside = text.replace(/<(code|pre)>[\s\S]*?<\/\1>/g, '');
  assert.not.match(outside, /[<>`@[\]\\&]/);
  assert.not.match(outside, /title|img|script|hi/);
  const decoded = text.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));
  assert.ok(decoded.includes(`<code>embedded:${name}/${name}\\x0a\\x0a# title</code>`));
});

test('a build that does not begin is in the summary too, and a page that cannot be written fails nothing', async () => {
  const project = onGitHub(new TestProject('targets: {a: {rule: consolidate}}\n'));
  const { text, finished } = await page(project, 'build');
  assert.is(finished.code, 2);
  assert.match(text, /^### firn build failed\n\n<pre>pipeline&#46;yaml&#58;1&#58;/);
  const other = onGitHub(
    new TestProject('targets: {reference: {rule: consolidate, runs: all, out: data/reference}}\n'),
  );
  await other.writeRun('A/r1');
  other.env.GITHUB_STEP_SUMMARY = other.path('no/such/folder/summary.md');
  const { code, stderr } = await other.firn('build');
  assert.is(code, 0);
  assert.match(stderr, /the job summary cannot be written/);
});

test('with thousands of steps the summary stays below what GitHub takes', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  each: {rule: command, from: "in/{name}.txt", out: "out/{name}.txt", run: [${NODE}, "-e", "0", "{out}"]}
`),
  );
  for (let i = 0; i < 300; i++) project.write(`in/${'|'.repeat(200)}${i}.txt`, '');
  const { text } = await page(project, 'build', '--json');
  assert.ok(Buffer.byteLength(text) < 1024 * 1024);
  assert.match(text, /\nand 200 more steps\n/);
});

test('compiling firn adds nothing to the page of a job', () => {
  const root = temporaryFolder();
  const repository = fileURLToPath(new URL('../../', import.meta.url));
  for (const name of ['src', 'rules', 'scripts'])
    cpSync(join(repository, 'dist', name), join(root, 'dist', name), { recursive: true });
  for (const name of ['node_modules', 'package.json']) symlinkSync(join(repository, name), join(root, name));
  const summary = join(root, 'summary.md');
  execFileSync(process.execPath, [join(root, 'dist/scripts/bundle.js')], {
    env: { ...process.env, GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary },
  });
  assert.ok(existsSync(join(root, 'dist/firn.bundle.cache')));
  assert.not.ok(existsSync(summary));
});

test('an interrupted build closes its groups', async () => {
  const project = onGitHub(
    new TestProject(`targets:
  slow: {rule: command, from: pipeline.yaml, out: x, run: [${NODE}, -e, "require('fs').writeFileSync('started', ''); setInterval(() => 0, 1000)"]}
`),
  );
  const { code, stderr } = shell(
    project,
    `exec 3>&2; '${process.execPath}' -e 0; firn build 2>err & while [ ! -e started ]; do sleep 0.05; done; pkill -INT -P $! 2>/dev/null || kill -INT $!; wait $!; echo code $? >&2`,
    project.env,
  );
  assert.is(code, 0);
  assert.match(stderr, /code 130/);
  assert.equal(
    groupsOf(readFileSync(project.path('err'), 'utf8')).map(({ title }) => title),
    ['slow'],
  );
  assert.equal(
    commandsOf(readFileSync(project.path('err'), 'utf8')).filter(({ name }) => name === 'error'),
    [],
  );
});

test.run();
