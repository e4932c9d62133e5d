/** A build that is killed, or whose disk fails once, at any operation: nothing partial, and the next build ends right. */
import { spawn } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BuildSummary } from '../src/engine/events.js';
import type { Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { faultyPort } from './rig/faulty-port.js';
import { TestProject } from './rig/project.js';

const test = suite('fault anywhere');

const KILL_AT = fileURLToPath(new URL('./rig/kill-at.js', import.meta.url));
const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`;

type Files = { [path: string]: string };

interface Change {
  /** Built, and then changed: a run is gone, one before it is longer, one is new. */
  project: TestProject;
  before: Files;
  after: Files;
}

let first: Promise<Change> | undefined;

async function prepare(): Promise<Change> {
  const project = new TestProject(PIPELINE);
  for (const [i, name] of ['A/r1', 'A/r2', 'B/r1'].entries()) await project.writeRun(name, { seed: i });
  await buildHere(project);
  const before = project.digests('data');
  // Its retained rows move by eleven: old metadata over the new array would not find them.
  project.remove('consolidated_data/runs/B/r1');
  await project.writeRun('A/r2', { seed: 22, rows: 31 });
  await project.writeRun('A/r3', { seed: 3 });
  const done = project.clone();
  await buildHere(done);
  return { project, before, after: done.digests('data') };
}

/** In this process, for speed. */
async function buildHere(project: TestProject, port?: Port): Promise<BuildSummary> {
  return build(await openProject({ directory: project.root, ...(port === undefined ? {} : { port }) }));
}

function journals(project: TestProject): string[] {
  return project.exists('cache/journal') ? readdirSync(project.path('cache/journal')) : [];
}

/** Each file is the old one or the new one; those of the reference are both the one or both the other. */
function assertWhole(project: TestProject, { before, after }: Change, where: string): void {
  const states = Object.keys(after).map((path) => {
    const digest = project.sha256(path);
    assert.ok(digest === before[path] || digest === after[path], `${where}: ${path} is neither old nor new`);
    return digest === after[path];
  });
  const [embeddings, , metadata] = states;
  if (journals(project).length === 0) assert.is(embeddings, metadata, `${where}: two states, and no journal`);
}

async function assertConverges(project: TestProject, { after }: Change, where: string): Promise<void> {
  const result = await buildHere(project);
  assert.is(result.failed, 0, `${where}: ${result.outcomes.map(({ error }) => error).join()}`);
  assert.equal(project.digests('data'), after, where);
  assert.is((await buildHere(project)).fresh, 2, where);
  assert.equal(journals(project), [], where);
}

/** What it was about to do; undefined when the build was through before. */
function killedAt(project: TestProject, at: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [KILL_AT, project.root, String(at)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let operation = '';
    child.stdout.on('data', (chunk) => {
      operation += chunk;
    });
    child.on('error', reject);
    child.on('close', (_code, signal) => resolve(signal === 'SIGKILL' ? operation : undefined));
  });
}

/** Every process costs a quarter of a second: the operations are visited in strides, all of them when asked. */
const STRIDE = Number(process.env.FIRN_TEST_STRIDE ?? 6);

test('killed at any operation, the next build converges to the same bytes and leaves nothing lying about', async () => {
  first ??= prepare();
  const change = await first;
  let kills = 0;
  let through = false;
  const visit = async (offset: number): Promise<void> => {
    for (let at = offset; !through; at += 2 * STRIDE) {
      const project = change.project.clone();
      const operation = await killedAt(project, at);
      if (operation === undefined) {
        through = true;
        break;
      }
      kills += 1;
      const where = `killed at ${at} (${operation})`;
      assertWhole(project, change, where);
      await assertConverges(project, change, where);
      assert.equal(project.leftovers(), [], where);
      rmSync(project.root, { recursive: true });
    }
  };
  await Promise.all([visit(1), visit(1 + STRIDE)]);
  assert.ok(kills * STRIDE > 60, `only ${kills} kills`);
});

test('when any one operation fails, every file is whole, and the next build converges', async () => {
  first ??= prepare();
  const change = await first;
  for (let at = 1; ; at++) {
    const project = change.project.clone();
    let failed = '';
    const { port, count } = faultyPort(at, (operation) => {
      failed = operation;
      throw Object.assign(new Error(`EIO: i/o error, ${operation}`), { code: 'EIO' });
    });
    await buildHere(project, port).catch(() => undefined);
    if (count.done < at) break;
    const where = `failed at ${at} (${failed})`;
    assertWhole(project, change, where);
    const untouched = Object.entries(change.before).every(
      ([path, digest]) => project.sha256(path) === digest,
    );
    if (untouched)
      assert.equal(journals(project), [], `${where}: nothing has happened, and yet something is left to do`);
    // Its holder lives: this process. One that cannot remove its lock is a matter for \`firn unlock\`.
    if (project.exists('cache/lock')) project.remove('cache/lock');
    await assertConverges(project, change, where);
    rmSync(project.root, { recursive: true });
  }
});

test.run();
