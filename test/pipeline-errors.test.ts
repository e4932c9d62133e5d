/** Mistakes in pipeline.yaml: each is named with its line, its column and what was meant, before anything is built. */
import { mkdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { openProject } from '../src/project.js';
import { TestProject } from './rig/project.js';

const test = suite('pipeline errors');

/** `»` stands before the word that the error has to point at; it is taken out before the file is written. */
interface Mistake {
  name: string;
  yaml: string;
  says: RegExp;
  advises?: RegExp;
}

const REFERENCE = 'reference: {rule: consolidate, runs: all, out: data/reference}';

const MISTAKES: Mistake[] = [
  // Misspelt words.
  {
    name: 'rule',
    yaml: 'targets:\n  a:\n    »rul: consolidate\n    runs: all\n    out: x',
    says: /unknown field "rul"/,
    advises: /Did you mean "rule"\?/,
  },
  {
    name: 'from',
    yaml: `targets:\n  ${REFERENCE}\n  i:\n    rule: index\n    »form: [reference]`,
    says: /unknown field "form"/,
    advises: /Did you mean "from"\?/,
  },
  {
    name: 'parameter',
    yaml: `targets:\n  ${REFERENCE}\n  i:\n    rule: index\n    from: [reference]\n    with: {»recal: 0.9}`,
    says: /unknown field "recal"/,
    advises: /Did you mean "recall"\?/,
  },
  {
    name: 'rule name',
    yaml: 'targets:\n  a:\n    rule: »consolidte\n    runs: all\n    out: x',
    says: /unknown rule "consolidte"/,
    advises: /Did you mean "consolidate"\?/,
  },
  {
    name: 'no rule at all',
    yaml: 'targets:\n  a:\n    rule: »make\n    out: x',
    says: /unknown rule "make"/,
    advises: /There is: command, compress, consolidate, embed, index, release\./,
  },
  {
    name: 'a field as another program calls it',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs: all\n    »output: x',
    says: /unknown field "output"/,
    advises: /Did you mean "out"\?/,
  },
  {
    name: 'target in from',
    yaml: `targets:\n  i:\n    rule: index\n    from: [»refrence]\n  ${REFERENCE}`,
    says: /no target "refrence"/,
    advises: /Did you mean "reference"\?/,
  },
  {
    name: 'filter',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs: {»vesion: "v1"}\n    out: x',
    says: /unknown field "vesion"/,
    advises: /Did you mean "version"\?/,
  },
  {
    name: 'filter word',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs: »al\n    out: x',
    says: /"runs" cannot be "al"/,
    advises: /Did you mean "all"\?/,
  },
  {
    name: 'choice',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: s/*/*.fa\n    with: {embedder: »kmr}',
    says: /"embedder" cannot be "kmr"/,
    advises: /Did you mean "kmer"\?/,
  },
  {
    name: 'top level',
    yaml: '»target:\n  a: {rule: compress}',
    says: /unknown field "target"/,
    advises: /Did you mean "targets"\?/,
  },
  {
    name: 'precision',
    yaml: 'targets:\n  a:\n    rule: compress\n    with:\n      precision: »flaot16',
    says: /"precision" cannot be "flaot16"/,
    advises: /lossless; float16/,
  },
  // Types.
  {
    name: 'version that is a number',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs:\n      version: »1.10\n    out: x',
    says: /"version" must be a text, found 1\.1$/,
    advises: /quotes around it: "1\.10"\. .*reads 1\.1\./,
  },
  {
    name: 'parameter that is a number',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: s/*/*.fa\n    with: {version: »1.10}',
    says: /"version" must be a text/,
    advises: /"1\.10"/,
  },
  {
    name: 'age that is a number',
    yaml: 'targets:\n  a:\n    rule: compress\n    runs: {older-than: »30}',
    says: /"older-than" must be a text, found 30/,
    advises: /Did you mean 30d\?/,
  },
  {
    name: 'word of a command',
    yaml: 'targets:\n  a:\n    rule: command\n    run: [sleep, »5]\n    out: x',
    says: /item 2 of "run" must be a text, found 5/,
    advises: /"5"/,
  },
  {
    name: 'unquoted braces',
    yaml: 'targets:\n  a:\n    rule: command\n    run: [cp, »{in}, "{out}"]\n    out: x',
    says: /item 2 of "run" must be a text/,
    advises: /quotes around it: "\{in\}"/,
  },
  {
    name: 'command as one text',
    yaml: 'targets:\n  a:\n    rule: command\n    run: »cp a b\n    out: x',
    says: /"run" must be a list/,
    advises: /one a word/,
  },
  {
    name: 'yes',
    yaml: 'targets:\n  a:\n    rule: compress\n    with: {delete-original: »yes}',
    says: /must be true or false, found "yes"/,
    advises: /Write true or false/,
  },
  {
    name: 'quoted number',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: s/*/*.fa\n    with: {k: »"4"}',
    says: /"k" must be a whole number, found "4"/,
    advises: /without quotes: 4/,
  },
  {
    name: 'number out of range',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: s/*/*.fa\n    with: {k: »7}',
    says: /"k" must be <= 6, found 7/,
  },
  {
    name: 'target without content',
    yaml: 'targets:\n  »a:\n  b: {rule: compress}',
    says: /"a" must be a mapping .*, found nothing/,
  },
  { name: 'list of targets', yaml: 'targets:\n  »- rule: compress', says: /"targets" must be a mapping/ },
  {
    name: 'cache size',
    yaml: 'cache: {limit: »lots}\ntargets:\n  a: {rule: compress}',
    says: /"lots" is no size/,
    advises: /500MB or 2GB/,
  },
  {
    name: 'duration',
    yaml: 'targets:\n  a:\n    rule: compress\n    runs:\n      older-than: »30x',
    says: /"30x" is no duration/,
    advises: /30d, 12h or 2w/,
  },
  {
    name: 'duration without unit',
    yaml: 'targets:\n  a:\n    rule: compress\n    runs: {dataset: A, older-than: »"30"}',
    says: /"30" is no duration/,
    advises: /Did you mean 30d\?/,
  },
  {
    name: 'pattern',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: [s/*.fa, »"s/[z-a].fa"]',
    says: /"s\/\[z-a\]\.fa" is no pattern/,
  },
  // Fields that are missing or too many.
  { name: 'missing rule', yaml: 'targets:\n  »a: {runs: all}', says: /the field "rule" is missing in "a"/ },
  {
    name: 'missing out',
    yaml: 'targets:\n  »a:\n    rule: consolidate\n    runs: all',
    says: /the field "out" is missing: the rule consolidate needs it/,
    advises: /runs, out, with \(optional\)/,
  },
  {
    name: 'field of another rule',
    yaml: 'targets:\n  a:\n    rule: compress\n    runs: all\n    »out: x',
    says: /the rule compress takes no "out"/,
    advises: /runs \(optional\)/,
  },
  {
    name: 'doubled key',
    yaml: 'targets:\n  a:\n    rule: compress\n    runs: all\n    »runs: all',
    says: /"runs" is here twice/,
  },
  {
    name: 'doubled target',
    yaml: 'targets:\n  a: {rule: compress}\n  »a: {rule: compress}',
    says: /"a" is here twice/,
  },
  { name: 'no target', yaml: 'targets: »{}', says: /"targets" is empty/ },
  { name: 'empty file', yaml: '»', says: /is empty/, advises: /firn init/ },
  { name: 'only a comment', yaml: '»# nothing yet\n', says: /is empty/ },
  { name: 'no targets', yaml: '»runs: r', says: /the field "targets" is missing/ },
  {
    name: 'empty list',
    yaml: 'targets:\n  a:\n    rule: command\n    run: »[]\n    out: x',
    says: /"run" is empty/,
  },
  { name: 'name', yaml: 'targets:\n  »"a b": {rule: compress}', says: /"a b" cannot be a name/ },
  {
    name: 'key that is a list',
    yaml: 'targets:\n  ? »[a]\n  : {rule: compress}',
    says: /a key must be a word/,
  },
  // YAML itself.
  { name: 'tab', yaml: 'targets:\n  a:\n»\trule: compress', says: /a tab cannot indent/ },
  { name: 'bracket', yaml: 'targets:\n  a: {rule: compress\n»', says: /not valid YAML/ },
  { name: 'tag', yaml: 'targets:\n  a: »!!js/function {rule: compress}', says: /not valid YAML/ },
  { name: 'second document', yaml: 'targets:\n  a: {rule: compress}\n»---\nb: 1', says: /second document/ },
  { name: '__proto__', yaml: 'targets:\n  »__proto__: {rule: compress}', says: /__proto__ is not allowed/ },
  {
    name: '__proto__ below',
    yaml: 'targets:\n  a:\n    rule: compress\n    with: {»"__proto__": {x: 1}}',
    says: /__proto__ is not allowed/,
  },
  { name: 'alias to itself', yaml: 'targets: &t\n  a: »*t', says: /\*t stands for what it stands in/ },
  { name: 'alias to nothing', yaml: 'targets:\n  a: »*t', says: /\*t stands for nothing/ },
  {
    name: 'deep brackets',
    yaml: `targets: ${'['.repeat(256)}»${'['.repeat(50_000)}`,
    says: /nested too deeply/,
  },
  { name: 'deep lists', yaml: `targets:\n  a»: ${'- '.repeat(50_000)}x`, says: /nested too deeply/ },
  {
    name: 'deep indentation',
    yaml: `targets:\n${Array.from({ length: 999 }, (_, i) => `${' '.repeat(i + 1)}a:`).join('\n')}\n»${' '.repeat(1000)}a:\n`,
    says: /nested too deeply/,
  },
  // Paths.
  {
    name: 'absolute out',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs: all\n    out: »/etc/x',
    says: /"\/etc\/x" is an absolute path/,
    advises: /relative to the folder/,
  },
  {
    name: 'out that leads out',
    yaml: 'targets:\n  a:\n    rule: consolidate\n    runs: all\n    out: »data/../../x',
    says: /leads out of the project/,
  },
  {
    name: 'absolute from',
    yaml: 'targets:\n  a:\n    rule: embed\n    from: [s/*/*.fa, »/data/*.fa]',
    says: /is an absolute path/,
  },
  {
    name: 'runs that lead out',
    yaml: 'runs: »../runs\ntargets:\n  a: {rule: compress}',
    says: /leads out of the project/,
  },
  {
    name: 'versions that lead out',
    yaml: 'versions: »/v.json\ntargets:\n  a: {rule: compress}',
    says: /absolute path/,
  },
  {
    name: 'uses that leads out',
    yaml: 'targets:\n  a:\n    rule: command\n    run: [x]\n    out: y\n    with: {uses: [s.py, »../s.py]}',
    says: /leads out of the project/,
  },
  {
    name: 'file that is not there',
    yaml: 'targets:\n  a:\n    rule: command\n    from: [pipeline.yaml, »no.txt]\n    run: [x]\n    out: y',
    says: /nothing matches no\.txt/,
  },
  // Targets among each other.
  {
    name: 'itself',
    yaml: 'targets:\n  i:\n    rule: index\n    from: [»i]',
    says: /i cannot be made from itself/,
  },
  {
    name: 'circle of targets',
    yaml: 'targets:\n  a: {rule: command, from: [pipeline.yaml, »b], run: [x], out: 1}\n  b: {rule: command, from: a, run: [x], out: 2}'.replace(
      /out: (\d)/g,
      'out: o$1',
    ),
    says: /made from each other: a -> b -> a/,
  },
  {
    name: 'circle of files',
    yaml: 'targets:\n  a:\n    rule: command\n    from: »y\n    run: [cp]\n    out: x\n  b:\n    rule: command\n    from: x\n    run: [cp]\n    out: y',
    says: /made from each other: a -> b -> a/,
  },
  {
    name: 'word that is no target',
    yaml: `targets:\n  i:\n    rule: index\n    from: »[something]\n  ${REFERENCE}`,
    says: /there is no something\/consolidated_embeddings\.npy/,
    advises: /Name a target/,
  },
  {
    name: 'circle of steps',
    yaml: `targets:\n  ${REFERENCE}\n  made:\n    rule: command\n    from: [reference]\n    run: [cp]\n    out: consolidated_data/runs/A/new/embeddings.npy`.replace(
      ': {',
      ': »{',
    ),
    says: /steps wait for each other: reference -> made -> reference/,
  },
  {
    name: 'own input as output',
    yaml: 'targets:\n  a:\n    rule: command\n    from: pipeline.yaml\n    run: [sort]\n    out: »pipeline.yaml',
    says: /pipeline\.yaml cannot be an output/,
  },
  {
    name: 'reads and writes',
    yaml: 'targets:\n  a:\n    rule: command\n    from: s.txt\n    run: [sort]\n    out: »s.txt',
    says: /a would read and write s\.txt/,
  },
  {
    name: 'one output of two',
    yaml: 'targets:\n  a: {rule: command, run: [x], out: o}\n  b: {rule: command, run: [x], out: »o}',
    says: /a and b both make o/,
  },
  {
    name: 'one output twice',
    yaml: 'targets:\n  a: {rule: command, run: [x], out: »[o, ./o]}',
    says: /names o twice/,
  },
  {
    name: 'file and folder',
    yaml: 'targets:\n  a: {rule: command, run: [x], out: o}\n  b: {rule: command, run: [x], out: »o/p}',
    says: /needs a folder where a makes a file/,
  },
  {
    name: 'two references in one place',
    yaml: 'targets:\n  a: {rule: consolidate, runs: all, out: o}\n  b: {rule: consolidate, runs: {dataset: A}, out: »o}',
    says: /a and b both make o\/consolidated_embeddings\.npy/,
  },
  {
    name: 'one run made twice',
    yaml: 'targets:\n  a: {rule: embed, from: s/A/r.fa}\n  »b: {rule: embed, from: s/A/r.fa, with: {k: 2}}',
    says: /a:A\/r and b:A\/r both make consolidated_data\/runs\/A\/r/,
    advises: /^Take one of them out/,
  },
  {
    name: 'two indexes of one reference',
    yaml: `targets:\n  ${REFERENCE}\n  a: {rule: index, from: reference}\n  »b: {rule: index, from: reference, with: {metric: ip}}`,
    says: /a:reference and b:reference both make data\/reference\/consolidated_index\.faiss/,
    advises: /^Take one of them out/,
  },
  {
    name: 'an index and a program that make the same',
    yaml: `targets:\n  ${REFERENCE}\n  a: {rule: index, from: reference}\n  b: {rule: command, run: [x], out: »data/reference/consolidated_index.faiss}`,
    says: /a:reference and b both make/,
    advises: /^Give b another `out`, or take one out/,
  },
  {
    name: 'lists of a kind that has none',
    yaml: `targets:\n  ${REFERENCE}\n  a:\n    rule: index\n    from: reference\n    with: {factory: HNSW32, nprobe: »4}`,
    says: /nprobe does not go with a factory string/,
    advises: /Only IVF kinds/,
  },
  {
    name: 'lists behind a transformation, which keep no number',
    yaml: `targets:\n  ${REFERENCE}\n  a:\n    rule: index\n    from: reference\n    with: {factory: "PCA16,IVF16,Flat", nprobe: »4}`,
    says: /nprobe does not go with a factory string/,
    advises: /Only IVF kinds/,
  },
  {
    name: 'lists under a refinement, which keep no number',
    yaml: `targets:\n  ${REFERENCE}\n  a:\n    rule: index\n    from: reference\n    with: {factory: "IVF16,PQ8,RFlat", nprobe: »4}`,
    says: /nprobe does not go with a factory string/,
    advises: /Only IVF kinds/,
  },
  {
    name: 'a recall that FAISS cannot be set to',
    yaml: `targets:\n  ${REFERENCE}\n  a:\n    rule: index\n    from: reference\n    with: {factory: "IVF4,PQ4", recall: »0.9}`,
    says: /recall does not go with a factory string/,
    advises: /measured and reported/,
  },
  {
    name: 'rounded original that is embedded',
    yaml: 'targets:\n  a: {rule: embed, from: s/A/r.fa}\n  »b: {rule: compress, runs: {run: A/r}, with: {precision: float16, delete-original: true}}',
    says: /b:A\/r would put other values into .*A\/r, which a:A\/r makes/,
    advises: /lossless/,
  },
  {
    name: 'output in the cache',
    yaml: 'targets:\n  a: {rule: command, run: [x], out: »cache/records.jsonl}',
    says: /cannot be an output: firn keeps its own state there/,
  },
  {
    name: 'output over the registry',
    yaml: 'versions: v.json\ntargets:\n  a: {rule: command, run: [x], out: »v.json}',
    says: /registry of model versions/,
  },
  {
    name: 'feeds on itself',
    yaml: 'targets:\n  »a: {rule: embed, from: "consolidated_data/runs/**"}',
    says: /a keeps finding new inputs among what is made, such as consolidated_data/,
  },
  {
    name: 'part above the folder',
    yaml: 'targets:\n  a: {rule: command, from: "s/x{sample}", run: [x], out: »"o/{sample}/y"}',
    says: /leads out of the project/,
  },
  // Placeholders.
  {
    name: 'a reference in the place of the registry',
    yaml: 'targets:\n  a: {rule: consolidate, runs: all, out: »data/reference/embedding_versions.json}',
    says: /cannot be an output: it is the registry of model versions/,
  },
  {
    name: 'a name under prune that is no run',
    yaml: 'targets:\n  a: {rule: consolidate, runs: all, out: x, with: {prune: [»A]}}',
    says: /item 1 of "prune" cannot be "A"/,
    advises: /dataset\/run/,
  },
  {
    name: 'unknown placeholder',
    yaml: 'targets:\n  a:\n    rule: command\n    run: [cp, »"{inn}"]\n    out: x',
    says: /\{inn\} stands for nothing/,
    advises: /Did you mean "in"\? .*\{\{ and \}\}/,
  },
  {
    name: 'unknown wildcard',
    yaml: 'targets:\n  a:\n    rule: command\n    from: "s/{sample}.txt"\n    run: [cp]\n    out: »"x/{sampel}"',
    says: /\{sampel\} does not stand in `from`/,
    advises: /Did you mean "sample"\?/,
  },
  {
    name: 'wildcard without pattern',
    yaml: 'targets:\n  a:\n    rule: command\n    from: [s.txt, pipeline.yaml]\n    run: [cp]\n    out: »"x/{sample}"',
    says: /needs one pattern in `from`/,
  },
];

async function emptyProject(): Promise<TestProject> {
  const project = new TestProject();
  await project.writeRun('A/r');
  project.write('s/A/r.fa', '>one\nACGTACGT\n');
  project.write('s.txt', 'text\n');
  project.write('s/x..', 'text\n');
  project.remove('consolidated_data');
  await project.writeRun('A/kept');
  return project;
}

/** Line and column, from 1, of the mark. */
function markOf(yaml: string): { line: number; column: number } {
  const before = yaml.slice(0, yaml.indexOf('»'));
  return { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') };
}

for (const { name, yaml, says, advises } of MISTAKES) {
  test(`points at it: ${name}`, async () => {
    assert.ok(yaml.includes('»'), 'the case has no mark');
    const project = await emptyProject();
    project.write('pipeline.yaml', yaml.replace('»', ''));
    let error: unknown;
    try {
      await openProject({ directory: project.root });
    } catch (thrown) {
      error = thrown;
    }
    assert.instance(error, FirnError);
    const { kind, message, advice, line, column, path } = error as FirnError;
    assert.match(message, says);
    if (advises !== undefined) assert.match(advice ?? '', advises);
    assert.equal({ kind, path, line, column }, { kind: 'usage', path: 'pipeline.yaml', ...markOf(yaml) });
  });
}

test('the program ends with 2, says where in one line, and builds nothing', async () => {
  const picked = [
    'rule',
    'version that is a number',
    'tab',
    '__proto__',
    'one run made twice',
    'circle of files',
    'empty file',
  ];
  for (const { name, yaml } of MISTAKES.filter((mistake) => picked.includes(mistake.name))) {
    const project = await emptyProject();
    project.write('pipeline.yaml', yaml.replace('»', ''));
    const { code, stdout, stderr } = await project.firn('build');
    const { line, column } = markOf(yaml);
    assert.is(code, 2, name);
    assert.is(stdout, '', name);
    assert.ok(stderr.startsWith(`firn: pipeline.yaml:${line}:${column}: `), stderr);
    assert.not.match(stderr, /\n\s+at |Error:|node:/, name);
    assert.ok(stderr.split('\n').length <= 3, stderr);
    assert.not.ok(project.exists('cache'), name);
  }
});

test('a line of dashes in a comment or a text is no nesting', async () => {
  const project = await emptyProject();
  const dashes = '- '.repeat(40);
  project.write(
    'pipeline.yaml',
    `# ${dashes}\ntargets: # ${dashes}\n  a: {rule: command, run: [echo, "${dashes}"], out: x}\n`,
  );
  const { pipeline } = await openProject({ directory: project.root });
  assert.equal(pipeline.targets.get('a')?.run, ['echo', dashes]);
});

test('thousands of keys and aliases do not stop it', async () => {
  const project = await emptyProject();
  // Comparing each key with each other takes minutes, and the rig stops the program before that.
  const keys = Array.from({ length: 40_000 }, (_, i) => `    k${i}: 1`).join('\n');
  project.write('pipeline.yaml', `targets:\n  a:\n    rule: compress\n${keys}\n`);
  assert.match((await project.firn('build', '-n')).stderr, /pipeline\.yaml:4:5: unknown field "k0"/);
  project.write(
    'pipeline.yaml',
    `targets:\n  a: &x {rule: compress}\n${Array.from({ length: 9000 }, (_, i) => `  b${i}: *x`).join('\n')}\n`,
  );
  assert.match((await project.firn('build', '-n')).stderr, /more than 500 aliases/);
  project.write('pipeline.yaml', `# ${'x'.repeat(2_000_000)}\n`);
  const { code, stderr } = await project.firn('build', '-n');
  assert.match(stderr, /pipeline\.yaml: is no text of at most 1 MiB/);
  assert.is(code, 2);
});

test('a chain of many targets that name files is no circle', async () => {
  const project = await emptyProject();
  const links = Array.from(
    { length: 20 },
    (_, i) =>
      `  t${i}: {rule: command, from: ${i === 19 ? 's.txt' : `o${i + 1}`}, run: [cp, "{in}", "{out}"], out: o${i}}`,
  );
  project.write('pipeline.yaml', `targets:\n${links.join('\n')}\n`);
  const { graph } = await openProject({ directory: project.root });
  assert.equal(
    graph.order.map((step) => step.id),
    links.map((_, i) => `t${19 - i}`),
  );
});

test('a bomb of aliases is refused', async () => {
  const project = await emptyProject();
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (const [before, name] of ['ab', 'bc', 'cd', 'de', 'ef', 'fg', 'gh']) {
    lines.push(`${name}: &${name} [${Array(10).fill(`*${before}`).join(', ')}]`);
  }
  project.write('pipeline.yaml', `${lines.join('\n')}\ntargets: *h\n`);
  const { code, stderr } = await project.firn('build');
  assert.match(stderr, /pipeline\.yaml:1:1: its aliases .* stand for too much/);
  assert.is(code, 2);
});

test('an unknown target on the command line', async () => {
  const project = await emptyProject();
  project.write('pipeline.yaml', `targets:\n  ${REFERENCE}\n`);
  const { code, stderr } = await project.firn('build', 'refrence');
  assert.match(stderr, /there is no target "refrence"\n {2}Did you mean "reference"\?/);
  assert.is(code, 2);
});

test('defaults are not taken for what was given, also where an alias stands for it', async () => {
  const project = await emptyProject();
  const index = 'rule: index, from: reference';
  project.write(
    'pipeline.yaml',
    `targets:\n  ${REFERENCE}\n  other: {rule: consolidate, runs: all, out: other}\n  a: {${index}, with: &w {factory: "IVF4,PQ4", nprobe: 2}}\n  b: {rule: index, from: other, with: *w}\n`,
  );
  const { graph } = await openProject({ directory: project.root });
  assert.is(graph.order.length, 4);
});

test('a folder without pipeline.yaml, and one that is none', async () => {
  const project = await emptyProject();
  for (const [directory, says] of [
    ['.', /there is no pipeline\.yaml here/],
    ['nowhere', /nowhere: there is no such folder/],
    ['s.txt', /s\.txt: is no folder/],
  ] as const) {
    const { code, stderr } = await project.firn('-C', directory, 'build');
    assert.match(stderr, says);
    assert.is(code, 2);
  }
  mkdirSync(project.path('pipeline.yaml'));
  const { code, stderr } = await project.firn('build');
  assert.match(stderr, /pipeline\.yaml: is a folder, expected a file/);
  assert.is(code, 2);
});

test.run();
