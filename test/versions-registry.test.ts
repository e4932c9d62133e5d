/** The registry of model versions: what may be said of a run, and that Python's tools and firn share one file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import { compareVersions } from '../src/runs/compare-versions.js';
import { formatOrdered, parseOrdered } from '../src/runs/ordered-json.js';
import {
  autoTag,
  emptyRegistry,
  isoLocal,
  listVersions,
  loadRegistry,
  type Registry,
  registerVersion,
  runsOf,
  saveRegistry,
  tagRun,
  versionOf,
} from '../src/runs/versions.js';
import { temporaryFolder } from './rig/folder.js';
import { holds } from './rig/property.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('model versions');
const folder = temporaryFolder();
const PATH = 'embedding_versions.json';
const NOW = new Date(2024, 10, 20, 9, 5, 7, 42);
const LATER = new Date(2024, 11, 1, 0, 0, 0, 0);

function refused(kind: FirnError['kind'], message: RegExp, work: () => unknown, advice = /./): void {
  assert.throws(work, (error: FirnError) => {
    assert.instance(error, FirnError);
    assert.is(error.kind, kind);
    assert.match(error.format(), message);
    assert.match(error.advice ?? '.', advice);
    return true;
  });
}

function twoVersions(): Registry {
  const one = registerVersion(
    emptyRegistry(PATH),
    { version: 'v1.0', model: 'nt-500m-1000g', description: 'Initial' },
    NOW,
  );
  return registerVersion(
    one,
    { version: 'v2.0', model: 'nt-500m-2000g', config: { k: 4, deep: { a: [1, null] } } },
    NOW,
  );
}

function count(registry: Registry, version: string): unknown {
  const file = JSON.parse(formatOrdered(registry.document));
  return file.versions[version].run_count;
}

s('a version is registered once and stands for one model', () => {
  const registry = twoVersions();
  assert.equal(listVersions(registry)[0], {
    version: 'v1.0',
    model: 'nt-500m-1000g',
    description: 'Initial',
    registeredAt: '2024-11-20T09:05:07.042000',
    runCount: 0,
  });
  assert.is(registerVersion(registry, { version: 'v1.0', model: 'nt-500m-1000g' }, LATER), registry);
  const same = { version: 'v2.0', model: 'nt-500m-2000g', config: { deep: { a: [1, null] }, k: 4 } };
  assert.is(registerVersion(registry, same, LATER), registry);
  const add = (more: object) => () => registerVersion(registry, { ...same, ...more }, LATER);
  refused('conflict', /another model/, add({ model: 'other' }));
  const described = registerVersion(registry, { ...same, description: 'other' }, LATER);
  assert.equal(listVersions(described)[1], { ...listVersions(registry)[1], description: 'other' });
  refused('conflict', /another config/, add({ config: { k: 5 } }));
  refused('usage', /version has no name/, add({ version: ' ' }));
  refused('usage', /model has no name/, add({ version: 'v3', model: '' }));
});

s('a run is in one version; moving it takes force, and both counts follow', () => {
  const start = twoVersions();
  const tagged = tagRun(start, 'Bay/2024-12-01', 'v1.0', NOW);
  assert.is(versionOf(start, 'Bay/2024-12-01'), undefined, 'the old registry is as it was');
  assert.is(versionOf(tagged, 'Bay/2024-12-01'), 'v1.0');
  assert.is(count(tagged, 'v1.0'), 1);
  assert.is(tagRun(tagged, 'Bay/2024-12-01', 'v1.0', LATER), tagged, 'saying it again changes nothing');
  const move = (force: boolean) => tagRun(tagged, 'Bay/2024-12-01', 'v2.0', LATER, { force });
  refused('conflict', /tagged with version "v1.0"/, () => move(false), /--force/);
  const moved = move(true);
  assert.is(versionOf(moved, 'Bay/2024-12-01'), 'v2.0');
  assert.equal([count(moved, 'v1.0'), count(moved, 'v2.0')], [0, 1]);
  assert.equal(JSON.parse(formatOrdered(moved.document)).runs['Bay/2024-12-01'], {
    version: 'v2.0',
    tagged_at: '2024-12-01T00:00:00',
  });
});

s('a version nobody registered is refused, with the nearest name', () => {
  const registry = twoVersions();
  refused('usage', /"v1" is not registered/, () => tagRun(registry, 'a/b', 'v1', NOW), /v1\.0/);
  refused('usage', /"v2.O" is not/, () => autoTag(registry, [], 'v2.O', NOW), /v2\.0/);
  refused('usage', /__proto__/, () => compareVersions(registry, 'v1.0', '__proto__'), /v1\.0/);
  refused('usage', /"x" is not/, () => tagRun(emptyRegistry(PATH), 'a/b', 'x', NOW), /Register/);
});

s('what is no dataset/run is refused', () => {
  for (const run of ['a', 'a/b/c', '/a', 'a/', '../a', 'a/..', '', 'a/.hidden']) {
    refused('usage', /is no run/, () => tagRun(twoVersions(), run, 'v1.0', NOW), /dataset\/run/);
  }
});

s('auto-tag takes only the runs without a version', () => {
  const registry = tagRun(twoVersions(), 'a/1', 'v1.0', NOW);
  const { registry: next, tagged } = autoTag(
    registry,
    ['b/2', 'a/1', 'b/1', 'b/2', '__proto__/x'],
    'v2.0',
    NOW,
  );
  assert.equal(tagged, ['__proto__/x', 'b/1', 'b/2']);
  assert.equal(runsOf(next, 'v2.0'), tagged);
  assert.is(versionOf(next, 'a/1'), 'v1.0');
  assert.is(count(next, 'v2.0'), 3);
  const again = autoTag(next, tagged, 'v1.0', NOW);
  assert.equal(again.tagged, []);
  assert.is(again.registry, next);
});

s('two versions side by side', () => {
  let registry = autoTag(twoVersions(), ['Bay/1', 'Bay/2', 'Lake/1'], 'v1.0', NOW).registry;
  registry = autoTag(registry, ['Bay/3', 'Pond/1'], 'v2.0', NOW).registry;
  const shapes: Record<string, { rows: number; dims: number }> = {
    'Bay/1': { rows: 10, dims: 256 },
    'Bay/2': { rows: 5, dims: 128 },
    'Bay/3': { rows: 7, dims: 256 },
  };
  const { sides, sameModel, common, onlyFirst, onlySecond } = compareVersions(
    registry,
    'v1.0',
    'v2.0',
    (run) => shapes[run],
  );
  assert.equal(
    sides.map(({ runCount, datasets, rows, knownRuns, dims }) => [runCount, datasets, rows, knownRuns, dims]),
    [
      [3, ['Bay', 'Lake'], 15, 2, [128, 256]],
      [2, ['Bay', 'Pond'], 7, 1, [256]],
    ],
  );
  assert.equal([sameModel, common, onlyFirst, onlySecond], [false, ['Bay'], ['Lake'], ['Pond']]);
});

s('a file that is something else is refused, by path and place', () => {
  const file = (text: string) => {
    const path = join(folder, 'bad.json');
    writeFileSync(path, text);
    return () => loadRegistry(disk, path);
  };
  const cases: [text: string, message: RegExp][] = [
    ['', /bad\.json:1:1: .*expected a JSON value/],
    ['[]', /"versions" and "runs"/],
    ['{"versions": {}}', /"versions" and "runs"/],
    ['{"versions": [], "runs": {}}', /"versions" and "runs"/],
    ['{"versions": {"v": 1}, "runs": {}}', /versions\["v"\]: expected an object/],
    ['{"versions": {"v": {}}, "runs": {}}', /\.model: expected a string/],
    ['{"versions": {"v": {"model": "m", "description": 1}}, "runs": {}}', /\.description: expected a string/],
    ['{"versions": {}, "runs": {"a/b": {"version": 1}}}', /runs\["a\/b"\]/],
    ['{\n  "versions": {},\n  "runs": {}\n', /:4:1: .*expected `,` or `}`/],
    ['{"versions": {},\n "versions": {}, "runs": {}}', /:2:2: .*"versions" is here twice/],
    ['{"versions": {}, "runs": {}} x', /:1:30: .*end of the file/],
    ['{"versions": {}, "runs": {}, "a": \'b\'}', /expected a JSON value/],
    ['{"versions": {}, "runs": {}, "a": "\\x"}', /expected a string/],
    [`${'['.repeat(100_000)}`, /nested deeper/],
  ];
  for (const [text, message] of cases) {
    refused('input', message, file(text));
  }
});

s('where there is no file there are no versions', () => {
  assert.equal(listVersions(loadRegistry(disk, join(folder, 'none', PATH))), []);
});

s('the clock is written as Python writes it', () => {
  assert.is(isoLocal(new Date(2024, 0, 2, 3, 4, 5, 0)), '2024-01-02T03:04:05');
  assert.is(isoLocal(new Date(2024, 0, 2, 3, 4, 5, 6)), '2024-01-02T03:04:05.006000');
});

/** As the Python tools keep their registry, with names and numbers that are easily lost. */
const WRITE = `
import json, sys
registry = {
  "versions": {
    "v2.0": {"version": "v2.0", "model": "nt-500m", "description": "caf\\u00e9 \\U0001f9ec \\u2028 \\x7f </b> \\"q\\" \\\\ \\t",
             "config": {"lr": 1e-05, "big": 1e16, "one": 1.0, "n": 10**25, "nan": float("nan"), "none": [], "no": {}},
             "registered_at": "2024-11-20T09:05:07.000042", "run_count": 7, "owner": ["x", None, True]},
    "10": {"version": "10", "model": "m", "description": "", "config": {}, "registered_at": "2024-11-20T09:05:07", "run_count": 0},
    "2": {"version": "2", "model": "m", "description": None, "config": {"9": 1, "1": 2}, "registered_at": "x", "run_count": 0},
  },
  "runs": {"Baie_\\u00c9tang/2024-12-01": {"version": "v2.0", "tagged_at": "2024-12-01T00:00:00", "by": "\\ud800"},
           "__proto__/x": {"version": "2", "tagged_at": "t"}},
  "schema": 1.50,
}
json.dump(registry, open(sys.argv[1], "w"), indent=2)`;

oracleTest(s, ['json'], 'a file that Python wrote is written again byte for byte', async () => {
  const path = join(folder, 'python.json');
  python(WRITE, path);
  const before = readFileSync(path);
  const registry = loadRegistry(disk, path);
  await saveRegistry(disk, path, registry);
  assert.ok(readFileSync(path).equals(before));
  assert.equal(
    listVersions(registry).map(({ version, runCount }) => [version, runCount]),
    [
      ['v2.0', 1],
      ['10', 0],
      ['2', 1],
    ],
  );
});

oracleTest(
  s,
  ['json'],
  'a tag changes the lines of that run and its versions, and nothing else',
  async () => {
    const path = join(folder, 'tagged.json');
    python(WRITE, path);
    const before = readFileSync(path, 'utf8').split('\n');
    await saveRegistry(disk, path, tagRun(loadRegistry(disk, path), 'Lac_\u00e9/1', '10', NOW));
    const after = readFileSync(path, 'utf8').split('\n');
    // The line with the version looks like one that was there.
    const added = after.filter((line) => !before.includes(line));
    assert.equal(added, [
      '      "run_count": 1',
      '    "Lac_\\u00e9/1": {',
      '      "tagged_at": "2024-11-20T09:05:07.042000"',
    ]);
    assert.is(after.length, before.length + 4);
  },
);

oracleTest(s, ['json'], 'Python lists and compares what firn wrote', async () => {
  let registry = autoTag(twoVersions(), ['Bay/1', 'Lac_\u00e9/1'], 'v1.0', NOW).registry;
  registry = tagRun(registry, 'Bay/2', 'v2.0', NOW);
  const path = join(folder, 'deep/er', PATH);
  await saveRegistry(disk, path, registry);
  const script = `
import datetime, json, sys
text = open(sys.argv[1], encoding="ascii").read()
registry = json.loads(text)
assert json.dumps(registry, indent=2) == text
for entry in registry["versions"].values():
    datetime.datetime.fromisoformat(entry["registered_at"])
datasets = lambda v: {run.split("/")[0] for run, tag in registry["runs"].items() if tag["version"] == v}
print(json.dumps([
  [[v, e["version"], e["model"], e["description"], e["config"], e["run_count"]] for v, e in registry["versions"].items()],
  sorted(datasets("v1.0") & datasets("v2.0")), sorted(datasets("v1.0") - datasets("v2.0"))]))`;
  assert.equal(JSON.parse(python(script, path)), [
    [
      ['v1.0', 'v1.0', 'nt-500m-1000g', 'Initial', {}, 2],
      ['v2.0', 'v2.0', 'nt-500m-2000g', '', { k: 4, deep: { a: [1, null] } }, 1],
    ],
    ['Bay'],
    ['Lac_\u00e9'],
  ]);
});

oracleTest(s, ['json'], 'any document of json.dump(indent=2) comes back byte for byte', () => {
  const path = join(folder, 'documents.json');
  const documents = fc.sample(fc.json({ stringUnit: 'binary' }), { numRuns: 300, seed: 3 });
  writeFileSync(path, JSON.stringify(documents));
  const script = `
import json, sys
print(json.dumps([json.dumps(json.loads(d), indent=2) for d in json.load(open(sys.argv[1]))]))`;
  for (const text of JSON.parse(python(script, path)) as string[]) {
    assert.is(formatOrdered(parseOrdered(text, path)), text);
  }
});

s('what JSON.parse refuses is refused, and what it reads is read the same', async () => {
  const text = fc.oneof(
    fc.json(),
    fc.string({ unit: fc.constantFrom(...'{}[]:,"\\u0018e+-. \ntrufalsn'), maxLength: 12 }),
  );
  await holds(
    3000,
    fc.property(text, (document) => {
      let expected: unknown;
      try {
        expected = JSON.parse(document);
      } catch {
        refused('input', /is not JSON/, () => parseOrdered(document, 'p'));
        return;
      }
      let found: unknown;
      try {
        found = JSON.parse(formatOrdered(parseOrdered(document, 'p')));
      } catch (error) {
        // JSON.parse takes the last of two equal keys.
        assert.match((error as Error).message, /here twice/);
        return;
      }
      assert.equal(found, expected);
    }),
  );
});

s.run();
