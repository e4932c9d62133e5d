/** What is in a release, judged by other people's software and by the rules of the formats: Python, tar, unzip. */
import { mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directoryOf, localHeader, type MemberRecord } from '../src/arrays/zip-records.js';
import { formatSums, parseSums } from '../src/release/sums.js';
import { padding, tarEnd, tarHeader } from '../src/release/tar.js';
import { builtProject, RELEASES, release, run } from './release-rig.js';
import { temporaryFolder } from './rig/folder.js';
import type { TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('release formats');

const DIRECTORY = `${RELEASES}/reference_2024-11`;
const FIELDS = `target_gene: COI
pcr_primer_forward: GGWACWGGWTGAACWGTWTAYCCYCC
pcr_primer_reverse: GGRGGRTASACSGTTCASCCSGTSCC
seq_meth: Illumina MiSeq [OBI_0002003]
platform: ILLUMINA
pcr_cycles: 35
license: https://creativecommons.org/licenses/by/4.0/
recordedBy: José E. Crespo | A. N. Other
recordedByID: https://orcid.org/0000-0002-1825-0097
institution: Curtin University
institutionID: https://ror.org/02n415q13
project_name: Marine survey
`;

let first: Promise<TestProject> | undefined;

async function released(): Promise<TestProject> {
  first ??= (async () => {
    const project = await builtProject();
    await project.firn('versions', 'register', '--version', 'v1 ü', '--model', 'nt-500m');
    await project.firn('versions', 'tag-run', 'B/2024-10-01', '--version', 'v1 ü');
    await project.build();
    project.write('fields.yaml', FIELDS);
    const made = await release(project, '2024-11', '--fields', 'fields.yaml', '--archive', 'tar.gz');
    assert.equal(made.warnings, []);
    await release(project, '2024-11', '--archive', 'zip');
    return project;
  })();
  return first;
}

oracleTest(
  test,
  ['numpy', 'faiss'],
  'numpy and FAISS read a release, also as the older system’s search does',
  async () => {
    const project = await released();
    // As scripts/search_reference.py of that system: the names it looks for, and what it takes of them.
    const script = `
import json, sys, numpy as np, faiss
folder = sys.argv[1]
out = []
for e, m, i in (('reference_2024-11.npy', 'reference_2024-11.json', 'reference_2024-11.faiss'),
                ('reference_embeddings.npy', 'reference_metadata.json', 'reference_index.faiss')):
    embeddings = np.load(folder + '/' + e)
    metadata = json.load(open(folder + '/' + m))['sequences']
    index = faiss.read_index(folder + '/' + i)
    distances, rows = index.search(embeddings[50:51].astype('f4'), 1)
    out.append([list(embeddings.shape), len(metadata), index.ntotal, float(distances[0][0]), metadata[rows[0][0]]])
print(json.dumps(out))
`;
    const [tagged, older] = JSON.parse(python(script, project.path(DIRECTORY))) as unknown[];
    assert.equal(tagged, [
      [95, 8],
      95,
      95,
      0,
      {
        dataset: 'A',
        run_id: '2024-11-22_15-45-00',
        seq_idx: 10,
        source_file: 'A/2024-11-22_15-45-00/embeddings.npy',
      },
    ]);
    assert.equal(older, tagged);
  },
);

/** The rules of RO-Crate 1.1 and Process Run Crate 0.5, and of in-toto Statement v1 with SLSA provenance v1, one by one. */
const RULES = `
import hashlib, json, os, sys, urllib.parse
folder = sys.argv[1]
crate = json.load(open(folder + '/ro-crate-metadata.json', encoding='utf-8'))
graph = crate['@graph']
ids = [e['@id'] for e in graph]
assert len(ids) == len(set(ids)), 'one entity an @id'
by = {e['@id']: e for e in graph}
assert all('@type' in e for e in graph)
assert crate['@context'] == ['https://w3id.org/ro/crate/1.1/context', 'https://w3id.org/ro/terms/workflow-run/context']
d = by['ro-crate-metadata.json']
assert d['@type'] == 'CreativeWork' and d['conformsTo'] == {'@id': 'https://w3id.org/ro/crate/1.1'}
root = by[d['about']['@id']]
assert root['@id'] == './' and root['@type'] == 'Dataset'
for p in ('name', 'description', 'datePublished', 'license'): assert root[p], p
assert root['conformsTo'] == {'@id': 'https://w3id.org/ro/wfrun/process/0.5'}
assert by['https://w3id.org/ro/wfrun/process/0.5']['@type'] == 'CreativeWork'
def refs(v):
    if isinstance(v, list): return [r for x in v for r in refs(x)]
    if isinstance(v, dict):
        assert set(v) == {'@id'}, 'flattened JSON-LD'
        return [v['@id']]
    return []
for e in graph:
    for p, v in e.items():
        for r in refs(v): assert r in by or r.startswith('https://w3id.org/ro/crate/'), (e['@id'], p, r)
parts = refs(root['hasPart'])
types = lambda e: e['@type'] if isinstance(e['@type'], list) else [e['@type']]
files = [e for e in graph if 'File' in types(e)]
assert sorted(parts) == sorted(e['@id'] for e in files), 'data entities are linked from the root'
on_disk = {n for n in os.listdir(folder) if not os.path.islink(folder + '/' + n)}
assert {urllib.parse.unquote(p) for p in parts} | {'ro-crate-metadata.json'} == on_disk
digest = lambda n: hashlib.sha256(open(folder + '/' + n, 'rb').read()).hexdigest()
for e in files:
    n = urllib.parse.unquote(e['@id'])
    if 'sha256' in e: assert e['sha256'] == digest(n)
    if 'contentSize' in e: assert e['contentSize'] == str(os.path.getsize(folder + '/' + n))
actions = [by[i] for i in refs(root['mentions'])]
assert {a['@type'] for a in actions} == {'CreateAction'}
for a in actions:
    assert a['name'] and refs(a['instrument']) and refs(a['result'])
    for i in refs(a['instrument']): assert by[i]['@type'] == 'SoftwareApplication' and by[i]['softwareVersion']
assert [a for a in graph if a['@type'] == 'CreateAction'] == actions, 'every action is mentioned'
made = [r for a in actions for r in refs(a['result'])]
assert all(p in made for p in parts), 'every file is the result of an action'
runs = [by[i] for i in refs(by['#consolidate']['object'])]
s = json.load(open(folder + '/reference_2024-11.provenance.json'))
assert s['_type'] == 'https://in-toto.io/Statement/v1' and s['predicateType'] == 'https://slsa.dev/provenance/v1'
names = [x['name'] for x in s['subject']]
assert len(names) == len(set(names)) == 4
for x in s['subject']: assert x['digest'] == {'sha256': digest(x['name'])}
b = s['predicate']['buildDefinition']
assert set(s['predicate']) == {'buildDefinition', 'runDetails'} and ':' in b['buildType']
assert b['externalParameters']['tag'] == '2024-11'
for x in b['resolvedDependencies']:
    assert x['digest'] and all(len(v) == 64 for v in x['digest'].values())
assert s['predicate']['runDetails']['builder']['id'] and s['predicate']['runDetails']['builder']['version']['firn']
fields = {by[i]['name']: by[i] for i in refs(root['additionalProperty'])}
print(json.dumps({'root': root, 'runs': runs, 'fields': fields, 'authors': [by[i] for i in refs(root['author'])],
  'embedded': by['#embed/v1%20\\u00fc'], 'publisher': by[root['publisher']['@id']],
  'dependencies': b['resolvedDependencies'], 'metadata': json.load(open(folder + '/reference_2024-11.json'))['runs']}))
`;

oracleTest(
  test,
  ['numpy'],
  'the crate and the statement keep the rules of their formats, and name the runs',
  async () => {
    const project = await released();
    const told = JSON.parse(python(RULES, project.path(DIRECTORY)));
    assert.is(told.root.name, 'Marine survey: reference 2024-11');
    assert.equal(told.root.license, { '@id': 'https://creativecommons.org/licenses/by/4.0/' });
    assert.is(told.root.datePublished, '2024-11');
    assert.equal(
      told.runs.map((one: { name: string; identifier: string; version?: string }) => [
        one.name,
        one.identifier,
        one.version,
      ]),
      told.metadata.map(
        (one: { dataset: string; run_id: string; digest: string; version: string | null }) => [
          `${one.dataset}/${one.run_id}`,
          one.digest,
          one.version ?? undefined,
        ],
      ),
    );
    assert.equal(told.embedded.result, [{ '@id': '#run/B/2024-10-01' }]);
    assert.is(told.fields.target_gene.propertyID, 'https://w3id.org/mixs/0000044');
    assert.is(told.fields.pcr_cycles.value, 35);
    assert.equal(
      told.authors.map((one: { '@id': string; name: string }) => [one['@id'], one.name]),
      [
        ['https://orcid.org/0000-0002-1825-0097', 'José E. Crespo'],
        ['#person/2', 'A. N. Other'],
      ],
    );
    assert.is(told.publisher['@id'], 'https://ror.org/02n415q13');
    // The digest of a run is of its values: computed here as docs/guide.md shows it.
    const digest = python(
      `
import hashlib, sys, numpy as np
a = np.load(sys.argv[1])
f = ['firn array 1', '<' + a.dtype.str[1:], str(a.shape[0]), str(a.shape[1])]
h = hashlib.sha256(''.join(f'{len(x)}:{x},' for x in f).encode()); h.update(a.tobytes()); print(h.hexdigest())`,
      project.path('consolidated_data/runs/B/2024-10-01/embeddings.npy'),
    ).trim();
    const [pipeline, , , last] = told.dependencies;
    assert.equal(pipeline, { name: 'pipeline.yaml', digest: { sha256: project.sha256('pipeline.yaml') } });
    assert.equal(last, {
      name: 'B/2024-10-01',
      digest: { 'firn-array-1': digest },
      annotations: { rows: 25, dtype: 'f4', modelVersion: 'v1 ü', model: 'nt-500m' },
    });
  },
);

test('odd fields are told and kept, and never in the way', async () => {
  const project = await released();
  project.write(
    'odd.yaml',
    `target_gne: COI
target_gene: "12S"
pcr_cycles: many
pcr_primer_forward: acgt
neg_cont_0_1: yes please
platform: Illumina
otu_db: [NCBI, custom]
mod_date: last week
study_factor:
lib_screen: {by: size}
"$(touch X)": "\\e[31m"
`,
  );
  const made = await release(project, 'odd', '--date', '2024', '--fields', 'odd.yaml');
  for (const says of [
    /^field target_gne is no term .*; did you mean target_gene\?$/,
    /^field target_gene is "12S", expected/,
    /^field pcr_cycles is "many", expected a whole number$/,
    /^field pcr_primer_forward is "acgt", expected bases in upper case/,
    /^field neg_cont_0_1 is "yes please", expected 0 or 1$/,
    /^field platform is "Illumina", expected such as "ILLUMINA"$/,
    /^field mod_date is "last week", expected a date/,
    /^field study_factor has no value and is left out$/,
    /^field lib_screen holds more than plain values/,
    /^field \$\(touch X\) is no term/,
  ])
    assert.ok(
      made.warnings.some((text) => says.test(text)),
      `${says}: ${made.warnings.join('\n')}`,
    );
  assert.is(made.warnings.length, 10);
  const crate = JSON.parse(project.read(`${RELEASES}/reference_odd/ro-crate-metadata.json`).toString());
  const values = new Map(
    crate['@graph']
      .filter((one: { '@id': string }) => one['@id'].startsWith('#field/'))
      .map((one: { name: string; value: unknown }) => [one.name, one.value]),
  );
  assert.equal(values.get('otu_db'), ['NCBI', 'custom']);
  assert.is(values.get('lib_screen'), '{"by":"size"}');
  const shown = await project.firn('release', 'odd2', '--date', '2024', '--fields', 'odd.yaml');
  assert.not.match(shown.stderr, /\u001b/);
  for (const [text, says] of [
    ['- a\n- b\n', /the fields of a release are a mapping/],
    ['a: [', /wrong\.yaml:1:\d+: not valid YAML/],
    ['__proto__: 1\n', /wrong\.yaml:1:1: the key __proto__ is not allowed/],
  ] as const) {
    project.write('wrong.yaml', text);
    const { code, stderr } = await project.firn('release', 'wrong', '--fields', 'wrong.yaml');
    assert.is(code, 2);
    assert.match(stderr, says);
  }
});

test('tar and sha256sum take a .tar.gz; nobody owns its files, and their times are the release’s', async () => {
  const project = await released();
  const archive = project.path(`${RELEASES}/reference_2024-11.tar.gz`);
  const listed = run(project.root, 'tar', '--full-time', '--numeric-owner', '-tvf', archive)
    .trim()
    .split('\n');
  const time = '2024-11-01 00:00:00';
  assert.is(listed.length, 10);
  for (const line of listed)
    assert.match(line, new RegExp(`^\\S+ 0/0 +\\d+ ${time} reference_2024-11/`), line);
  assert.match(listed[0], /^dr-xr-xr-x /);
  assert.match(listed[1], /^-r--r--r-- .*SHA256SUMS$/);
  assert.match(listed[7], /^lrwxrwxrwx .*\/reference_embeddings\.npy -> reference_2024-11\.npy$/);
  const folder = temporaryFolder();
  run(folder, 'tar', '-xf', archive);
  run(join(folder, 'reference_2024-11'), 'sha256sum', '-c', '--strict', '--quiet', 'SHA256SUMS');
  assert.is(statSync(join(folder, 'reference_2024-11')).mode & 0o777, 0o555);
  run(folder, 'chmod', '-R', 'u+w', '.');
  const header = project.read(`${RELEASES}/reference_2024-11.tar.gz`).subarray(0, 10);
  assert.equal([...header], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], 'no time, no name, no system');
});

oracleTest(test, ['zipfile'], 'Python takes a .zip', async () => {
  const project = await released();
  const archive = project.path(`${RELEASES}/reference_2024-11.zip`);
  const script = `
import hashlib, json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist():
    assert i.date_time == (2024, 11, 1, 0, 0, 0) and i.external_attr >> 16 == 0o100444 and i.create_system == 3, i
sums = dict(reversed(l.split('  ')) for l in z.read('reference_2024-11/SHA256SUMS').decode().splitlines())
for n, s in sums.items(): assert hashlib.sha256(z.read('reference_2024-11/' + n)).hexdigest() == s
print(json.dumps(z.namelist()))`;
  const names = JSON.parse(python(script, archive)) as string[];
  assert.is(names.length, 6);
});

testWhere(test, programLacks('unzip', '-v'), 'unzip takes a .zip', async () => {
  const archive = (await released()).path(`${RELEASES}/reference_2024-11.zip`);
  const folder = temporaryFolder();
  assert.match(run(folder, 'unzip', '-t', archive), /No errors detected/);
  run(folder, 'unzip', '-q', archive);
  run(join(folder, 'reference_2024-11'), 'sha256sum', '-c', '--strict', '--quiet', 'SHA256SUMS');
});

test('the same archive again says so; another file in its place is left, and refused', async () => {
  const project = await released();
  const again = await release(project, '2024-11', '--archive', 'zip');
  assert.is(again.archive?.existed, true);
  assert.is(again.archive?.sha256, project.sha256(`${RELEASES}/reference_2024-11.zip`));
  const copy = project.clone();
  copy.remove(`${RELEASES}/reference_2024-11.zip`);
  copy.write(`${RELEASES}/reference_2024-11.zip`, 'mine');
  const { code, stderr } = await copy.firn('release', '2024-11', '--archive', 'zip');
  assert.is(code, 1);
  assert.match(stderr, /reference_2024-11\.zip: is there already, and is not this archive/);
  assert.is(copy.read(`${RELEASES}/reference_2024-11.zip`).toString(), 'mine');
  assert.equal(copy.leftovers(), []);
  assert.is((await project.firn('release', 'x', '--archive', 'rar')).code, 2);
});

test('tar: long and odd names, and 9 GiB in one file', () => {
  const folder = temporaryFolder();
  const long = `${'d'.repeat(90)}/${'n'.repeat(90)} é冬.txt`;
  const path = join(folder, 'a.tar');
  const parts: Uint8Array[] = [];
  for (const [name, text] of [
    [long, 'long'],
    ['plain', 'x'],
  ])
    parts.push(
      tarHeader({ name, type: 'file', mode: 0o644, size: text.length, mtime: 0 }),
      Buffer.from(text),
      padding(text.length),
    );
  parts.push(tarHeader({ name: 'l', type: 'link', mode: 0o777, size: 0, mtime: 0, target: long }));
  const body = Buffer.concat(parts);
  writeFileSync(path, Buffer.concat([body, tarEnd(body.length)]));
  assert.is(statSync(path).size % 10240, 0);
  mkdirSync(join(folder, 'out'));
  run(join(folder, 'out'), 'tar', '-xf', path);
  assert.equal(run(join(folder, 'out'), 'cat', long, 'l'), 'longlong');
  assert.equal(readdirSync(join(folder, 'out')).sort(), ['d'.repeat(90), 'l', 'plain']);

  const size = 9 * 2 ** 30 + 5;
  const huge = join(folder, 'huge.tar');
  const header = tarHeader({ name: 'huge', type: 'file', mode: 0o644, size, mtime: 0 });
  writeFileSync(huge, header);
  const end = header.length + size + padding(size).length;
  truncateSync(huge, end + tarEnd(end).length);
  assert.match(run(folder, 'tar', '-tvf', huge), new RegExp(` ${size} `));
});

oracleTest(test, ['zipfile'], 'zip: members beyond 4 GiB', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.zip');
  // Deflated "x", and its CRC.
  const data = Buffer.from([0xab, 0x00, 0x00]);
  const member = (name: string, offset: number): MemberRecord & { offset: number } => ({
    name,
    crc32: 0x8cdc1683,
    compressed: data.length,
    size: 1,
    zip64: false,
    offset,
  });
  const far = 5 * 2 ** 30;
  const members = [member('near', 0), member('föhn', far)];
  writeFileSync(path, Buffer.concat([localHeader(members[0]), data]));
  truncateSync(path, far);
  const last = Buffer.concat([localHeader(members[1]), data]);
  const directory = directoryOf(members, far + last.length, new Uint8Array(0));
  writeFileSync(path, Buffer.concat([last, directory]), { flag: 'a' });
  const script = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
print(json.dumps([[i.filename, i.header_offset, z.read(i).decode()] for i in z.infolist()]))`;
  assert.equal(JSON.parse(python(script, path)), [
    ['near', 0, 'x'],
    ['föhn', far, 'x'],
  ]);
});

test('SHA256SUMS: any name comes back, and sha256sum agrees', () => {
  const name = fc
    .string({ minLength: 1, unit: fc.constantFrom('a', '\\', '\n', '\r', ' ', '*', 'é', 'n', 'r', "'", '"') })
    .filter((text) => text.trim() !== '');
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 5 }), (names) => {
      const sums = names.map((one, i) => ({ name: one, sha256: String(i).repeat(64).slice(0, 64) }));
      const { sums: read, problems } = parseSums(formatSums(sums));
      assert.equal(problems, []);
      assert.equal(
        new Map(read.map((one) => [one.name, one.sha256])),
        new Map(sums.map((one) => [one.name, one.sha256])),
      );
    }),
  );
  const folder = temporaryFolder();
  const names = ['a\\b', 'a\nb', ' x', '*y', '-z', 'ä'];
  for (const one of names) writeFileSync(join(folder, one), one);
  const written = run(folder, 'sha256sum', '--', ...names);
  const { sums, problems } = parseSums(written);
  assert.equal([problems, sums.map((one) => one.name)], [[], names]);
  writeFileSync(join(folder, 'SHA256SUMS'), formatSums(sums));
  run(folder, 'sha256sum', '-c', '--strict', '--quiet', 'SHA256SUMS');
  for (const text of [
    '',
    'x\n',
    `${'0'.repeat(64)}  ../a\n`,
    `${'0'.repeat(64)}  /a\n`,
    `${'0'.repeat(64)}  a`,
  ])
    assert.ok(parseSums(text).problems.length > 0, text);
});

test.run();
