/**
 * The registry of model versions: which versions there are and which run was embedded by which. The file is that of the
 * Python tools (`data/reference/embedding_versions.json`), and both may write it: fields that firn does not know are
 * kept. Pure but for loading and saving; knows neither what runs are on disk nor what a model is.
 */
import { dirname } from 'node:path';
import { FirnError } from '../errors.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port, ReadPort } from '../files/port.js';
import { removeHalfWritten } from '../files/remove.js';
import { writeFileAtomic } from '../files/write-file.js';
import { suggest } from '../pipeline/nearest.js';
import {
  formatOrdered,
  type JsonObject,
  NumberText,
  type OrderedJson,
  parseOrdered,
  toOrdered,
} from './ordered-json.js';
import { isRunName } from './run-name.js';

/** The parsed file. Never changed: every function that changes something returns another one. */
export interface Registry {
  readonly path: string;
  /** version -> entry */
  readonly versions: JsonObject;
  /** `dataset/run` -> entry */
  readonly runs: JsonObject;
  /** The whole document, which holds the two above. */
  readonly document: JsonObject;
}

/** A registered version of a model. */
export interface ModelVersion {
  version: string;
  model: string;
  description: string;
  /** Local time without zone, as Python's isoformat gives it; empty when the file does not say. */
  registeredAt: string;
  /** Runs tagged with it now, counted from the tags. */
  runCount: number;
}

export interface NewVersion {
  version: string;
  model: string;
  description?: string;
  /** Anything JSON; for people and other tools. */
  config?: { [name: string]: unknown };
}

/** A registry without versions, for `path`. */
export function emptyRegistry(path: string): Registry {
  return registryOf(
    path,
    new Map<string, OrderedJson>([
      ['versions', new Map()],
      ['runs', new Map()],
    ]),
  );
}

/** The registry in a file's text. FirnError (input) saying where it is not what it should be. */
function parseRegistry(text: string, path: string): Registry {
  const document = parseOrdered(text, path);
  if (!isObject(document) || !isObject(document.get('versions')) || !isObject(document.get('runs'))) {
    throw malformed(path, 'expected an object with the members "versions" and "runs", both objects');
  }
  const registry = registryOf(path, document);
  for (const [version, entry] of registry.versions) {
    const where = `versions[${JSON.stringify(version)}]`;
    if (!isObject(entry)) throw malformed(path, `${where}: expected an object`);
    for (const field of ['model', 'description', 'registered_at']) {
      const value = entry.get(field);
      const optional = field !== 'model' && (value === undefined || value === null);
      if (!optional && typeof value !== 'string')
        throw malformed(path, `${where}.${field}: expected a string`);
    }
  }
  for (const [run, entry] of registry.runs) {
    const where = `runs[${JSON.stringify(run)}]`;
    if (!isObject(entry) || typeof entry.get('version') !== 'string') {
      throw malformed(path, `${where}: expected an object with a string "version"`);
    }
  }
  return registry;
}

/** The registry at `path`; an empty one when there is no such file. */
export function loadRegistry(port: ReadPort, path: string): Registry {
  const text = port.readText(path);
  return text === undefined ? emptyRegistry(path) : parseRegistry(text, path);
}

const UNFINISHED = 'versions';

/**
 * Replaces the file as a whole, and makes its folder when missing. Only one process may do so at a time.
 * @throws FirnError `conflict` when the file is a link: it would be replaced, and who shares the file would not hear of it
 */
export async function saveRegistry(port: Port, path: string, registry: Registry): Promise<void> {
  const target = port.readLink(path);
  if (target !== undefined) {
    throw new FirnError('conflict', `is a link to ${target}, and nothing is written through links`, {
      path,
      advice:
        'Change the registry from the project that holds the file, or put the file in the place of the link.',
    });
  }
  await makeDurableDirectory(port, dirname(path));
  await removeHalfWritten(port, dirname(path), UNFINISHED);
  await writeFileAtomic(port, path, formatOrdered(registry.document), UNFINISHED);
}

/** The version a run is tagged with. */
export function versionOf(registry: Registry, run: string): string | undefined {
  return text(registry.runs.get(run), 'version');
}

/** All registered versions, in the order of registration. */
export function listVersions(registry: Registry): ModelVersion[] {
  return [...registry.versions].map(([version, entry]) => ({
    version,
    model: text(entry, 'model') ?? '',
    description: text(entry, 'description') ?? '',
    registeredAt: text(entry, 'registered_at') ?? '',
    runCount: runsOf(registry, version).length,
  }));
}

/** The runs tagged with a version, in code-unit order. */
export function runsOf(registry: Registry, version: string): string[] {
  return [...registry.runs]
    .filter(([, entry]) => text(entry, 'version') === version)
    .map(([run]) => run)
    .sort();
}

/**
 * Adds a version. Registering it again with the same model (and config, where given) changes its description, when
 * another one is given, and nothing else. FirnError: usage for an empty name or model, conflict when the version stands
 * for something else already.
 */
export function registerVersion(registry: Registry, added: NewVersion, now: Date): Registry {
  const { version, model, description, config } = added;
  for (const [what, value] of Object.entries({ version, model })) {
    if (value.trim() === '') throw new FirnError('usage', `the ${what} has no name`, { path: registry.path });
  }
  const known = registry.versions.get(version);
  if (known !== undefined) {
    const given: [string, unknown][] = [
      ['model', model],
      ['config', config],
    ];
    for (const [field, value] of given) {
      if (value !== undefined && !sameJson((known as JsonObject).get(field), toOrdered(value))) {
        throw new FirnError('conflict', `version "${version}" is registered with another ${field}`, {
          path: registry.path,
          advice: 'A version stands for one model for good: register the new one under a name of its own.',
        });
      }
    }
    if (description === undefined || description === (text(known, 'description') ?? '')) return registry;
    const described = new Map(known as JsonObject).set('description', description);
    return withParts(registry, new Map(registry.versions).set(version, described), registry.runs);
  }
  const entry: JsonObject = new Map<string, OrderedJson>([
    ['version', version],
    ['model', model],
    ['description', description ?? ''],
    ['config', toOrdered(config ?? {})],
    ['registered_at', isoLocal(now)],
    ['run_count', new NumberText(String(runsOf(registry, version).length))],
  ]);
  return withParts(registry, new Map(registry.versions).set(version, entry), registry.runs);
}

/**
 * Says that `run` was embedded by `version`; nothing changes when it says so already. FirnError: usage when there is
 * no such version or `run` is no `dataset/run`, conflict when the run is tagged with another one and not `force`.
 */
export function tagRun(
  registry: Registry,
  run: string,
  version: string,
  now: Date,
  options: { force?: boolean } = {},
): Registry {
  expectRunName(run);
  expectVersion(registry, version);
  const before = versionOf(registry, run);
  if (before === version) return registry;
  if (before !== undefined && options.force !== true) {
    throw new FirnError('conflict', `run ${run} is tagged with version "${before}", and can be in one only`, {
      path: registry.path,
      advice: `Use --force to move it to "${version}".`,
    });
  }
  return withTags(registry, [run], version, now);
}

/** Tags those of `runs` that have no version yet. The same registry when there are none. */
export function autoTag(
  registry: Registry,
  runs: readonly string[],
  version: string,
  now: Date,
): { registry: Registry; tagged: string[] } {
  runs.forEach(expectRunName);
  expectVersion(registry, version);
  const tagged = [...new Set(runs)].filter((run) => versionOf(registry, run) === undefined).sort();
  return { registry: tagged.length === 0 ? registry : withTags(registry, tagged, version, now), tagged };
}

/** FirnError (usage) unless `version` is registered. */
export function expectVersion(registry: Registry, version: string): void {
  if (registry.versions.has(version)) return;
  const names = [...registry.versions.keys()];
  const advice =
    names.length === 0
      ? 'Register it: `firn versions register --version NAME --model MODEL`.'
      : suggest(version, names);
  throw new FirnError('usage', `version "${version}" is not registered`, { path: registry.path, advice });
}

function expectRunName(run: string): void {
  if (isRunName(run)) return;
  throw new FirnError('usage', `${JSON.stringify(run)} is no run`, {
    advice: 'A run is named dataset/run, as in My_Dataset/2024-12-01.',
  });
}

function withTags(registry: Registry, tagged: readonly string[], version: string, now: Date): Registry {
  const at = isoLocal(now);
  const runs = new Map(registry.runs);
  const touched = new Set([version]);
  for (const run of tagged) {
    const before = registry.runs.get(run);
    const left = text(before, 'version');
    if (left !== undefined) touched.add(left);
    const entry: JsonObject = new Map(isObject(before) ? before : []);
    runs.set(run, entry.set('version', version).set('tagged_at', at));
  }
  const next = withParts(registry, registry.versions, runs);
  return withParts(next, recounted(next, touched), runs);
}

/** The versions with `run_count` counted from the tags. Only the touched ones: the rest of the file stays as it is. */
function recounted(registry: Registry, touched: ReadonlySet<string>): JsonObject {
  const counts = new Map([...touched].map((version) => [version, 0]));
  for (const entry of registry.runs.values()) {
    const version = text(entry, 'version')!;
    const count = counts.get(version);
    if (count !== undefined) counts.set(version, count + 1);
  }
  const versions = new Map(registry.versions);
  for (const [version, count] of counts) {
    const entry = versions.get(version);
    if (isObject(entry))
      versions.set(version, new Map(entry).set('run_count', new NumberText(String(count))));
  }
  return versions;
}

function withParts(registry: Registry, versions: JsonObject, runs: JsonObject): Registry {
  // Setting a member that is there keeps its place.
  return registryOf(registry.path, new Map(registry.document).set('versions', versions).set('runs', runs));
}

function registryOf(path: string, document: JsonObject): Registry {
  const versions = document.get('versions') as JsonObject;
  return { path, versions, runs: document.get('runs') as JsonObject, document };
}

function isObject(value: OrderedJson | undefined): value is JsonObject {
  return value instanceof Map;
}

function text(entry: OrderedJson | undefined, field: string): string | undefined {
  const value = isObject(entry) ? entry.get(field) : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** Equal whatever the order of members and the spelling of numbers. */
function sameJson(a: OrderedJson | undefined, b: OrderedJson | undefined): boolean {
  if (a instanceof NumberText && b instanceof NumberText) return Number(a.text) === Number(b.text);
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  }
  if (isObject(a) && isObject(b)) {
    return a.size === b.size && [...a].every(([key, item]) => b.has(key) && sameJson(item, b.get(key)));
  }
  return a === b;
}

function malformed(path: string, message: string): FirnError {
  return new FirnError('input', message, {
    path,
    advice:
      'This is the registry of model versions; mend it, or move it away and register the versions again.',
  });
}

/** `datetime.now().isoformat()`: local time without zone; no fraction when it is zero, else six digits. */
export function isoLocal(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${String(now.getFullYear()).padStart(4, '0')}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  const fraction = now.getMilliseconds();
  return `${date}T${time}${fraction === 0 ? '' : `.${String(fraction).padStart(3, '0')}000`}`;
}
