/**
 * The manifest of a step: the ordered list of everything it depends on. The key is its digest and the explanation
 * is a comparison of two manifests, so that they cannot disagree. Pure.
 */
import { createHash } from 'node:crypto';
import {
  type Digest,
  type Input,
  inputId,
  type Json,
  type ManifestEntry,
  type Memory,
  nameOf,
  type Reason,
  type ReasonCode,
  type Step,
} from './types.js';

/** Written into every key: raise it when the meaning of a manifest changes. */
const FORMAT = '1';

/** JSON with sorted keys, so that reordered YAML is the same value. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const fields = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`);
  return `{${fields.join(',')}}`;
}

/** `digests` must hold every input of the step. */
export function buildManifest(
  step: Step,
  digests: ReadonlyMap<string, Digest>,
  memory: Memory | undefined,
): ManifestEntry[] {
  const entries: ManifestEntry[] = [
    ['format', FORMAT],
    ['rule', `${step.rule.name} ${step.rule.version}`],
  ];
  for (const [name, value] of step.rule.tools?.(step) ?? []) entries.push([`tool ${name}`, value]);
  const params = step.params;
  if (params !== null && typeof params === 'object' && !Array.isArray(params)) {
    for (const name of Object.keys(params).sort())
      entries.push([`parameter ${name}`, canonicalJson(params[name])]);
  } else {
    entries.push(['parameter', canonicalJson(params)]);
  }
  for (const input of step.inputs) {
    const found = digests.get(inputId(input));
    if (found === undefined) throw new Error(`no digest for ${inputId(input)}`);
    entries.push([labelOf(input), found.digest]);
  }
  for (const [name, value] of memory?.entries ?? []) entries.push([`memory ${name}`, value]);
  for (const [i, output] of step.outputs.entries()) entries.push([`output ${i}`, output.path]);
  return entries;
}

/** Under which a manifest holds the digest of an input. */
export function labelOf(input: Input): string {
  return `input ${nameOf(input)}`;
}

/** sha256 over the entries, each string framed by its length in bytes. */
export function keyOf(manifest: readonly ManifestEntry[]): string {
  const text = manifest.map(([label, value]) => framed(label) + framed(value)).join('');
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function framed(text: string): string {
  return `${Buffer.byteLength(text, 'utf8')}:${text}`;
}

const CODE_OF: { [word: string]: ReasonCode } = {
  rule: 'rule',
  tool: 'rule',
  format: 'rule',
  parameter: 'parameter',
  input: 'input',
  memory: 'memory',
  output: 'parameter',
};

/**
 * What differs between the manifest a step was last built with and the one it would be built with now. An input that is
 * no longer one is gone, unless it is among those `passedOver`.
 */
export function explainChange(
  before: readonly ManifestEntry[],
  after: readonly ManifestEntry[],
  passedOver: readonly Input[] = [],
): Reason[] {
  const old = new Map(before);
  const now = new Map(after);
  const reasons: Reason[] = [];
  for (const [label, value] of after) {
    const was = old.get(label);
    if (was === undefined) reasons.push(reason(label, 'is new'));
    else if (was !== value) reasons.push(reason(label, describe(label, was, value)));
  }
  const unasked = new Set(passedOver.map(labelOf));
  for (const [label] of before) {
    if (!now.has(label))
      reasons.push(reason(label, unasked.has(label) ? 'is no longer selected' : 'is gone'));
  }
  // What a rule remembers mostly follows from the rest, and the first reason is the one people see.
  reasons.sort((a, b) => Number(a.code === 'memory') - Number(b.code === 'memory'));
  if (reasons.length === 0 && keyOf(before) !== keyOf(after))
    reasons.push({ code: 'input', text: 'inputs changed order' });
  return reasons;
}

function reason(label: string, what: string): Reason {
  const word = label.split(' ', 1)[0];
  const subject = word === 'input' || word === 'memory' ? label.slice(word.length + 1) : label;
  return { code: CODE_OF[word] ?? 'input', text: `${subject} ${what}` };
}

function describe(label: string, was: string, value: string): string {
  return label.startsWith('input ') || value.startsWith('sha256:') || was.length + value.length > 120
    ? 'changed'
    : `changed from ${was} to ${value}`;
}
