/**
 * A pipeline.yaml that was read and checked before: most commands need neither the parser nor the validator. A hint and
 * never the truth. It counts only for the same text, the same firn and the same rules, and it holds no places: whatever
 * is wrong is found again in the text, and told with its line. Knows nothing of how a pipeline is checked.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { readLog, rewriteLog } from '../engine/log-file.js';
import type { Rule, RunFilter } from '../engine/types.js';
import type { Port, ReadPort } from '../files/port.js';
import { FIRN_VERSION } from '../firn-version.js';
import type { Pipeline, RuleFinder, Target } from './load.js';
import { pipelineSchema } from './schema.js';

/** Raise when the same text comes to mean another pipeline. */
const FORMAT = 3;

interface Remembered extends Omit<Pipeline, 'targets'> {
  of: string;
  targets: (Omit<Target, 'rule' | 'error' | 'runs' | 'given'> & {
    rule: string;
    runs: RunFilter | null;
    given: string[];
  })[];
}

/** The pipeline that `text` is known to be; undefined when that is not known. `findRule` as for loading. */
export async function recallPipeline(
  port: ReadPort,
  file: string,
  text: string,
  findRule: RuleFinder,
): Promise<Pipeline | undefined> {
  try {
    const known = readLog(port, file).entries[0] as unknown as Remembered | undefined;
    if (known === undefined) return undefined;
    const rules = new Map<string, Rule>();
    for (const name of new Set(known.targets.map(({ rule }) => rule))) {
      const rule = await findRule(name);
      if (rule === undefined) return undefined;
      rules.set(name, rule);
    }
    const { of, ...pipeline } = known;
    if (of !== digestOf(text, [...rules.values()], pipeline)) return undefined;
    const targets = known.targets.map((target): [string, Target] => [
      target.name,
      {
        ...target,
        runs: target.runs ?? undefined,
        given: new Set(target.given),
        rule: rules.get(target.rule) as Rule,
        error: (message) => new Error(message),
      },
    ]);
    return { ...pipeline, targets: new Map(targets) };
  } catch {
    // The file is not what it was, or a rule cannot be loaded any more: loading the text says so.
    return undefined;
  }
}

/** For the next time. Where it cannot be written, the text is read again then. */
export async function rememberPipeline(
  port: Port,
  file: string,
  text: string,
  pipeline: Pipeline,
): Promise<void> {
  const targets = [...pipeline.targets.values()];
  try {
    const known = {
      ...pipeline,
      targets: targets.map(({ error: _error, rule, runs, given, ...target }) => ({
        ...target,
        rule: rule.name,
        runs: runs ?? null,
        given: [...given],
      })),
    };
    // YAML has values that JSON does not, such as .inf.
    if (!isDeepStrictEqual(JSON.parse(JSON.stringify(known)), known)) return;
    const of = digestOf(text, [...new Set(targets.map(({ rule }) => rule))], known);
    await rewriteLog(port, file, [{ ...known, of } satisfies Remembered]);
  } catch {
    // A full disk, or a rule of a user whose parameters are no JSON.
  }
}

/** Of what was read and what came of it. */
function digestOf(text: string, rules: readonly Rule[], pipeline: Omit<Remembered, 'of'>): string {
  const meanings = rules.map(({ name, version, parameters, fields }) => [name, version, parameters, fields]);
  const all = [FORMAT, FIRN_VERSION, text, pipelineSchema(), meanings, pipeline];
  return createHash('sha256').update(JSON.stringify(all)).digest('hex');
}
