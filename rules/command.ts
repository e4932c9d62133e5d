/**
 * Any program: declared inputs in, declared outputs out. Arguments are handed over one by one and are never read by a
 * shell; outputs are written under temporary names and appear when the program ends well.
 */
import { join, relative } from 'node:path';
import type {
  ExpandView,
  Input,
  Json,
  Output,
  Rule,
  RuleTarget,
  RunContext,
  Step,
  StepDraft,
} from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { writeNewText } from '../src/files/line-writer.js';
import { runProgram } from '../src/files/run-program.js';
import { suggest } from '../src/pipeline/nearest.js';
import { fillWildcards, matchPattern, wildcardsOf } from '../src/pipeline/pattern.js';
import { checkProjectPath } from '../src/pipeline/project-path.js';
import { RUN_FACTS_FILE } from '../src/runs/run-facts.js';

interface Detail {
  /** What {in} stands for. */
  in: string[];
  wildcards: { [name: string]: string };
  /** The version of the runs made is noted beside them, so that it outlives the sources. */
  writesFacts: boolean;
}

const rule: Rule = {
  name: 'command',
  version: '1',
  summary: 'Runs a program of yours with declared inputs and outputs.',
  fields: { from: 'optional', out: 'required', run: 'required' },
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      uses: {
        type: 'array',
        items: { type: 'string', minLength: 1 },
        default: [],
        description: 'Further files the program depends on, such as the script itself; not part of {in}.',
      },
      version: {
        type: 'string',
        minLength: 1,
        description:
          'Of the program or model. Another version runs it again; runs it makes carry the version.',
      },
    },
  },

  expand(target, view) {
    const named = target.from.some((from) => view.target(from) !== undefined);
    const wildcards = new Set(target.out.flatMap(wildcardsOf));
    if (wildcards.size === 0) return [draftFor(target, view, target.name, gather(target, view), {})];
    if (named || target.from.length !== 1) {
      throw target.error(
        'an `out` with {wildcards} needs one pattern in `from`',
        'Each file that the pattern matches becomes one step.',
        'out',
      );
    }
    const known = wildcardsOf(target.from[0]);
    for (const name of wildcards) {
      if (!known.includes(name))
        throw target.error(`{${name}} does not stand in \`from\``, suggest(name, known), 'out');
    }
    return view.files(target.from[0]).map((match) => {
      const source: Source = { in: [match.path], inputs: [{ kind: 'file', path: match.path }] };
      return draftFor(
        target,
        view,
        `${target.name}:${Object.values(match.wildcards).join('/')}`,
        source,
        match.wildcards,
      );
    });
  },

  async run(step, context) {
    const { argv } = step.params as { argv: string[] };
    const detail = step.detail as unknown as Detail;
    const words = argv.flatMap((word) => fillWord(word, detail, step.outputs, context));
    await runProgram(words, { cwd: context.root, signal: context.signal, onLine: context.log });
    const facts = step.outputs.filter((output) => output.path.endsWith(`/${RUN_FACTS_FILE}`));
    for (const output of detail.writesFacts ? facts : [])
      await writeFacts(output, step.params, detail.in, context);
    return {};
  },
};

export default rule;

interface Source {
  in: string[];
  inputs: Input[];
}

/** What stands in {in} for a target: its `out`, with wildcards the files that they stand for; all its outputs where it has none. */
function namesOf({ out, steps }: { out: readonly string[]; steps: readonly Step[] }): string[] {
  if (out.length > 0 && out.every((path) => wildcardsOf(path).length === 0)) return [...out];
  return steps.flatMap((step) =>
    step.outputs.map(({ path }) => path).filter((path) => out.length === 0 || isNamedBy(out, path)),
  );
}

/** Facts that are noted beside a run are not. */
function isNamedBy(out: readonly string[], path: string): boolean {
  return out.some((name) => name === path || matchPattern(name, path) !== undefined);
}

/** All that `from` names: for a target {in} stands for what it names, and its outputs are what is depended on. */
function gather(target: RuleTarget, view: ExpandView): Source {
  const source: Source = { in: [], inputs: [] };
  for (const [i, from] of target.from.entries()) {
    const upstream = view.target(from);
    if (upstream !== undefined) {
      const outputs = upstream.steps.flatMap((step) => step.outputs);
      source.in.push(...namesOf(upstream));
      source.inputs.push(...outputs.map(asInput));
      continue;
    }
    const matches = view.files(from);
    if (matches.length === 0) {
      const isFolder = view.port.stat(join(view.root, from))?.kind === 'directory';
      throw target.error(
        isFolder ? `${from} is a folder` : `nothing matches ${from}`,
        isFolder
          ? `Name the target that makes it, or its files: ${from.replace(/\/+$/, '')}/*.`
          : 'Name a target, a file or a pattern; paths are relative to pipeline.yaml.',
        `from.${i}`,
      );
    }
    source.in.push(...matches.map((match) => match.path));
    source.inputs.push(...matches.map((match) => ({ kind: 'file', path: match.path })));
  }
  return source;
}

/** A run is read by its values, whichever container holds them by then. */
function asInput({ kind, path }: Output): Input {
  return { kind, path: kind === 'run' ? path.slice(0, path.lastIndexOf('/')) : path };
}

function draftFor(
  target: RuleTarget,
  view: ExpandView,
  id: string,
  source: Source,
  wildcards: { [name: string]: string },
): StepDraft {
  checkWords(target, { in: source.in, out: target.out }, wildcards);
  const { uses: named, ...params } = target.with as { uses: string[]; [name: string]: Json };
  const uses = named.map((path, i) =>
    checkProjectPath(path, (message, advice) => target.error(message, advice, `with.uses.${i}`)),
  );
  const outputs = target.out.map((out) => outputOf(fillWildcards(out, wildcards) as string, view.runsDir));
  const taken = new Set([...source.in, ...outputs.map((output) => output.path)]);
  // A script that is named in the command is depended on, without being asked for.
  const scripts = target.run
    .map((word) => word.replace(/^(\.\/)+/, ''))
    .filter((path) => isPlain(path) && view.files(path).length > 0 && !taken.has(path));
  const facts = factsOf(outputs, params.version);
  const detail: Detail = { in: source.in, wildcards, writesFacts: facts.length > 0 };
  return {
    id,
    params: { ...params, argv: target.run },
    inputs: [
      ...source.inputs,
      ...[...new Set([...uses, ...scripts])].map((path) => ({ kind: 'file', path })),
    ],
    outputs: [...outputs, ...facts],
    detail: detail as unknown as Json,
  };
}

/** An array in the runs folder is a run, known by its values and not by its container. */
function outputOf(path: string, runsDir: string): Output {
  const below = path.startsWith(`${runsDir}/`) ? path.slice(runsDir.length + 1).split('/') : [];
  const isRun = below.length === 3 && (below[2] === 'embeddings.npy' || below[2] === 'embeddings.npz');
  return { kind: isRun ? 'run' : 'file', path };
}

/** The file beside each run that says which version it is; none where the program writes that file itself. */
function factsOf(outputs: readonly Output[], version: Json | undefined): Output[] {
  if (version === undefined) return [];
  const paths = outputs.filter((output) => output.kind === 'run').map((output) => factsPath(output.path));
  return [...new Set(paths)]
    .filter((path) => !outputs.some((output) => output.path === path))
    .map((path) => ({ kind: 'file', path }));
}

function factsPath(path: string): string {
  return `${path.slice(0, path.lastIndexOf('/'))}/${RUN_FACTS_FILE}`;
}

async function writeFacts(
  output: Output,
  params: Json,
  sources: readonly string[],
  context: RunContext,
): Promise<void> {
  const { version, argv } = params as { version: string; argv: string[] };
  const facts = { firn: 1, version, sources, command: argv };
  await writeNewText(context.port, context.stage(output), `${JSON.stringify(facts, null, 2)}\n`);
}

/** `{in}`, `{out[1]}`, `{out.dir}`, `{dataset}`; doubled braces stand for themselves. */
const PLACEHOLDER = /\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)(?:\[(\d+)\])?(\.dir)?\}/g;

function checkWords(
  target: RuleTarget,
  lists: { in: string[]; out: string[] },
  wildcards: { [name: string]: string },
): void {
  const known = ['in', 'out', ...Object.keys(wildcards)];
  for (const [i, word] of target.run.entries()) {
    const problem = (message: string, advice?: string) => target.error(message, advice, `run.${i}`);
    if (word.includes('\0')) throw problem('an argument cannot hold a NUL character');
    if (word === '' && i === 0) throw problem('the first word names the program, and it is empty');
    for (const [token, name, index, folder] of word.matchAll(PLACEHOLDER)) {
      if (name === undefined) continue;
      if (!known.includes(name))
        throw problem(`{${name}} stands for nothing`, `${suggest(name, known)} Write {{ and }} for braces.`);
      if (name !== 'in' && name !== 'out') {
        if (token !== `{${name}}`)
          throw problem(`${token}: {${name}} is no list of files`, `Write {${name}}.`);
        continue;
      }
      // Files in one folder have one folder.
      const list =
        folder !== undefined && index === undefined ? [...new Set(lists[name].map(folderOf))] : lists[name];
      const count = list.length;
      if (index !== undefined && Number(index) >= count)
        throw problem(
          `there is no ${token}: {${name}} stands for ${count} ${count === 1 ? 'file' : 'files'}`,
        );
      if (index !== undefined || (word === token && folder === undefined)) {
        if (count === 0)
          throw problem(
            '{in} stands for nothing',
            target.from.length === 0
              ? 'Name what it is made from: `from`.'
              : 'What `from` names makes nothing.',
          );
        continue;
      }
      if (count !== 1) {
        throw problem(
          `${token} stands for ${count} ${folder === undefined ? 'files' : 'folders'} in "${word}"`,
          folder === undefined
            ? `Make it a word by itself, or pick one with {${name}[0]}.`
            : `Pick one with {${name}[0].dir}.`,
        );
      }
    }
  }
}

/** One word of the command with its placeholders filled; a word that is just `{in}` becomes one word a file. */
function fillWord(word: string, detail: Detail, outputs: readonly Output[], context: RunContext): string[] {
  const own = detail.writesFacts
    ? outputs.filter((output) => !output.path.endsWith(`/${RUN_FACTS_FILE}`))
    : outputs;
  const lists = new Map([
    ['in', detail.in.map(asArgument)],
    ['out', own.map((output) => asArgument(relative(context.root, context.stage(output))))],
  ]);
  if (word === '{in}' || word === '{out}') return lists.get(word.slice(1, -1)) as string[];
  const filled = word.replace(PLACEHOLDER, (token, name?: string, index?: string, folder?: string) => {
    if (name === undefined) return token[0];
    const file = lists.get(name)?.[Number(index ?? 0)];
    if (file === undefined) return detail.wildcards[name];
    return folder === undefined ? file : folderOf(file);
  });
  if (filled.startsWith('-') && !word.startsWith('-')) {
    throw new FirnError(
      'failed',
      `"${filled}" begins with a dash, and the program would take it for an option`,
      {
        advice: `Rename the file, or write the word so that something stands before it, such as --name=${word}.`,
      },
    );
  }
  return [filled];
}

/** A word that can only be a path in the project, in its plain form. */
function isPlain(word: string): boolean {
  return (
    /^[^\s{}*?[\]/-][^{}*?[\]]*$/.test(word) &&
    !word.split('/').some((part) => part === '' || part === '.' || part === '..')
  );
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
}

/** A name that begins with a dash must not be taken for an option. */
function asArgument(path: string): string {
  return path.startsWith('-') ? `./${path}` : path;
}
