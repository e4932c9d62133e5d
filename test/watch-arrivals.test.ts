/**
 * A field season in short: a watch goes on while 500 runs arrive, whole or in pieces, and are replaced, deleted and tagged.
 * What it leaves is, byte for byte, what builds from nothing make in the order that was recorded.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatNpyHeader } from '../src/arrays/npy-header.js';
import { disk } from '../src/files/disk.js';
import { build, openProject } from '../src/project.js';
import { loadRegistry, registerVersion, saveRegistry, tagRun } from '../src/runs/versions.js';
import { seededValues, TestProject } from './rig/project.js';
import { Watching } from './rig/watching.js';

const test = suite('watch arrivals');

const RUNS = 'consolidated_data/runs';
const REGISTRY = 'data/reference/embedding_versions.json';
const ARRIVALS = 500;
const WAVES = 10;
const DIMS = 8;

const PIPELINE = `targets:
  embedded:
    rule: embed
    from: sequences/*/*.fasta
    with: {k: 1, version: v1}
  compressed: {rule: compress, runs: {dataset: D0}}
  reference: {rule: consolidate, runs: {dataset: "D*"}, out: data/reference}
  second: {rule: consolidate, runs: {dataset: "D*", version: v2}, out: data/second}
  sequences: {rule: consolidate, runs: {dataset: S}, out: data/sequences}
  index: {rule: index, from: [reference, second, sequences]}
`;

/** A run of a season: where it is, what it holds, and which version it is tagged with. */
interface Run {
  name: string;
  seed: number;
  version: 'v1' | 'v2';
  file: 'embeddings.npy' | 'embeddings.npz';
  isThere: boolean;
}

function npyOf(seed: number): Buffer {
  const rows = 3 + (seed % 4);
  const values = seededValues(seed, rows * DIMS);
  return Buffer.concat([formatNpyHeader({ dtype: 'f4', rows, dims: DIMS }), Buffer.from(values.buffer)]);
}

function bytesOf({ seed, file }: Pick<Run, 'seed' | 'file'>): Uint8Array {
  return file === 'embeddings.npy' ? npyOf(seed) : zipSync({ 'embeddings.npy': npyOf(seed) }, { level: 0 });
}

/** As docs/guide.md has it. */
function digestOf(seed: number): string {
  const bytes = npyOf(seed);
  const data = bytes.subarray(10 + bytes.readUInt16LE(8));
  const fields = ['firn array 1', '<f4', String(3 + (seed % 4)), String(DIMS)];
  const hash = createHash('sha256').update(fields.map((field) => `${field.length}:${field},`).join(''));
  return `sha256:${hash.update(data).digest('hex')}`;
}

/** The same numbers in every run of the test. */
class Dice {
  private at = 0;
  private readonly values = seededValues(2024, 20_000);

  below(limit: number): number {
    return Math.floor(((this.values[this.at++ % this.values.length] + 1) / 2) * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

class Season {
  private readonly dice = new Dice();
  readonly runs: Run[] = [];
  readonly digests = new Map<string, number>();
  private seeds = 0;

  constructor(readonly project: TestProject) {}

  private path({ name, file }: Run): string {
    return this.project.path(`${RUNS}/${name}/${file}`);
  }

  private newSeed(): number {
    this.seeds += 1;
    this.digests.set(digestOf(this.seeds), this.seeds);
    return this.seeds;
  }

  /** One more run. What it returns is still to be done when others have come. */
  async arrive(): Promise<(() => void) | undefined> {
    const run: Run = {
      // Names in no order, so that the order of rows is the order of arrival.
      name: `D${this.dice.below(10)}/${this.dice.below(36 ** 4).toString(36)}-${this.runs.length}`,
      seed: this.newSeed(),
      version: this.dice.pick(['v1', 'v2']),
      file: this.dice.pick(['embeddings.npy', 'embeddings.npy', 'embeddings.npz']),
      isThere: true,
    };
    // So that the second reference gets each at once, and later ones are new tags.
    if (this.dice.below(3) === 0) await this.tag(run, run.version);
    else run.version = 'v1';
    this.runs.push(run);
    const bytes = bytesOf(run);
    const path = this.path(run);
    switch (this.dice.below(5)) {
      case 0: {
        const made = this.project.path(`incoming/${run.name}`);
        mkdirSync(made, { recursive: true });
        writeFileSync(`${made}/${run.file}`, bytes);
        mkdirSync(dirname(dirname(path)), { recursive: true });
        renameSync(made, dirname(path));
        return undefined;
      }
      case 1: {
        const cut = this.dice.below(bytes.length);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, bytes.subarray(0, cut));
        return () => appendFileSync(path, bytes.subarray(cut));
      }
      default:
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, bytes);
        return undefined;
    }
  }

  private replace(run: Run): (() => void) | undefined {
    run.seed = this.newSeed();
    const bytes = bytesOf(run);
    const path = this.path(run);
    if (this.dice.below(2) === 0) {
      writeFileSync(`${path}.new`, bytes);
      renameSync(`${path}.new`, path);
      return undefined;
    }
    const cut = this.dice.below(bytes.length);
    writeFileSync(path, bytes.subarray(0, cut));
    return () => appendFileSync(path, bytes.subarray(cut));
  }

  private delete(run: Run): void {
    run.isThere = false;
    rmSync(dirname(this.path(run)), { recursive: true });
  }

  private async tag(run: Run, version: Run['version']): Promise<void> {
    run.version = version;
    const path = this.project.path(REGISTRY);
    const registry = tagRun(loadRegistry(disk, path), run.name, version, new Date(), { force: true });
    await saveRegistry(disk, path, registry);
  }

  /** Replaces, deletes and tags some of these runs; what it returns completes those that are half replaced. */
  async disturb(runs: readonly Run[]): Promise<(() => void)[]> {
    const untouched = runs.filter(({ isThere }) => isThere);
    const other = (): Run => untouched.splice(this.dice.below(untouched.length), 1)[0];
    const halves: (() => void)[] = [];
    for (let i = 0; i < 4; i++) {
      const rest = this.replace(other());
      if (rest !== undefined) halves.push(rest);
      this.delete(other());
      await this.tag(other(), this.dice.pick(['v1', 'v2']));
    }
    return halves;
  }

  /** What keeps a reference from being what the runs of now make of it; undefined when it is. */
  lacks(directory: string, wants: (run: Run) => boolean): string | undefined {
    if (!this.project.exists(`${directory}/consolidated_metadata.json`)) return 'all';
    const ranges = rangesOf(this.project, directory);
    const found = new Map(ranges.map((range) => [range.name, range]));
    for (const run of this.runs) {
      const range = found.get(run.name);
      found.delete(run.name);
      if (!run.isThere || !wants(run)) {
        if (range !== undefined && (run.isThere || !range.retained)) return `${run.name} without`;
      } else if (range?.digest !== digestOf(run.seed) || range.retained) return run.name;
      else if ((range.version ?? 'v1') !== run.version) return `${run.name} ${run.version}`;
    }
    return found.size > 0 ? 'others' : undefined;
  }
}

interface Range {
  name: string;
  digest: string;
  version: string | null;
  retained: boolean;
}

function rangesOf(project: TestProject, directory: string): Range[] {
  const { runs } = project.reference(directory).metadata as unknown as {
    runs: { dataset: string; run_id: string; digest: string; version: string | null; retained: boolean }[];
  };
  return runs.map(({ dataset, run_id, digest, version, retained }) => ({
    name: `${dataset}/${run_id}`,
    digest,
    version,
    retained,
  }));
}

async function emptyRegistryIn(project: TestProject): Promise<void> {
  let registry = loadRegistry(disk, project.path(REGISTRY));
  for (const version of ['v1', 'v2'])
    registry = registerVersion(registry, { version, model: 'm', description: '' }, new Date(0));
  mkdirSync(dirname(project.path(REGISTRY)), { recursive: true });
  await saveRegistry(disk, project.path(REGISTRY), registry);
}

/** The reference of these ranges, made from nothing in another project: as few builds as give that order. */
async function rebuild(
  ranges: readonly Range[],
  target: string,
  putRun: (name: string, range: Range, project: TestProject) => void,
): Promise<TestProject> {
  const lines = PIPELINE.split('\n');
  const pipeline = [
    'targets:',
    lines.find((line) => line.startsWith(`  ${target}:`)),
    `  index: {rule: index, from: ${target}}`,
  ];
  const project = new TestProject(pipeline.join('\n'));
  await emptyRegistryIn(project);
  let registry = loadRegistry(disk, project.path(REGISTRY));
  for (const { name, version } of ranges)
    if (version !== null) registry = tagRun(registry, name, version, new Date(0));
  await saveRegistry(disk, project.path(REGISTRY), registry);
  const make = async (): Promise<void> => {
    const summary = await build(await openProject({ directory: project.root }));
    assert.is(summary.failed, 0);
  };
  for (const [i, range] of ranges.entries()) {
    putRun(range.name, range, project);
    // One build appends runs in the order of their names.
    if (i + 1 === ranges.length || ranges[i + 1].name < range.name) await make();
  }
  for (const { name, retained } of ranges) if (retained) project.remove(`${RUNS}/${name}`);
  await make();
  return project;
}

test(`${ARRIVALS} arrivals`, async () => {
  const project = new TestProject(PIPELINE);
  const season = new Season(project);
  await emptyRegistryIn(project);
  project.write('sequences/S/first.fasta', '>a\nACGT\n');
  await season.arrive().then((rest) => rest?.());
  const watch = new Watching(project);
  await watch.built('index:reference');
  let begun: (() => void)[] = [];
  for (let wave = 0; wave < WAVES; wave++) {
    const later: (() => void)[] = [];
    for (let i = 0; i < ARRIVALS / WAVES && season.runs.length < ARRIVALS; i++) {
      const rest = await season.arrive();
      if (rest !== undefined) later.push(rest);
      // In between, the watch gets its turn.
      await new Promise(setImmediate);
    }
    for (const finish of begun) finish();
    begun = later;
    const replaced = wave === 0 ? [] : await season.disturb(season.runs.slice(0, -ARRIVALS / WAVES));
    const sequence = 'zyxwvutsrq'[wave];
    project.write(`sequences/S/${sequence}.fasta`, `>a\n${'ACGT'.repeat(wave + 1)}\n`);
    await watch.built(`embedded:S/${sequence}`);
    // The references wait for runs that are half written over.
    for (const finish of replaced) finish();
    if (replaced.length > 0) await watch.built('reference');
  }
  for (const finish of begun) finish();
  while (
    season.lacks('data/reference', () => true) !== undefined ||
    season.lacks('data/second', ({ version }) => version === 'v2') !== undefined
  )
    await watch.idle();
  const { code, stderr } = await watch.stop();
  assert.is(code, 0);
  assert.is(stderr, '');
  assert.equal(
    watch.told.filter(({ type }) => type === 'problem'),
    [],
  );

  // Nothing is left to do, and nothing lies about.
  assert.is((await project.build()).fresh, (await project.plan()).steps.length);
  assert.equal(project.leftovers(), []);
  const retained = rangesOf(project, 'data/reference').filter((range) => range.retained);
  assert.ok(retained.length > 0 && watch.builds.length > WAVES);
  assert.is(rangesOf(project, 'data/sequences').length, WAVES + 1);

  for (const [target, directory] of [
    ['reference', 'data/reference'],
    ['second', 'data/second'],
  ]) {
    const again = await rebuild(rangesOf(project, directory), target, (name, { digest }, into) => {
      into.write(`${RUNS}/${name}/embeddings.npy`, npyOf(season.digests.get(digest) as number));
    });
    for (const name of ['embeddings.npy', 'metadata.json', 'index.faiss'])
      assert.is(
        again.sha256(`${directory}/consolidated_${name}`),
        project.sha256(`${directory}/consolidated_${name}`),
        `${target}: ${name}`,
      );
  }
  const sequences = await rebuild(rangesOf(project, 'data/sequences'), 'sequences', (name, _range, into) => {
    cpSync(project.path(`${RUNS}/${name}`), into.path(`${RUNS}/${name}`), { recursive: true });
  });
  assert.equal(sequences.digests('data/sequences'), project.digests('data/sequences'));
});

test.run();
