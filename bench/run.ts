/**
 * The command `npm run bench`: asks the questions, firn and its peers in turn, and writes the results and the page. Knows
 * no particular question.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Collection } from './collection.js';
import { Data } from './data.js';
import { type Environment, environmentOf, loadNow } from './machine.js';
import { REPOSITORY } from './programs.js';
import type { Context, Question } from './question.js';
import { questions } from './questions/all.js';
import { renderPage } from './render.js';
import { merge, type Result, readResults, writeResults } from './results.js';
import { FULL, QUICK, type Sizes } from './sizes.js';
import { findTools, type Versions } from './tools.js';

const USAGE = `usage: npm run bench -- [question ...] [options]

Measures firn and its peers in turn and writes docs/benchmarks.md and bench/results.json. Questions, all unless some are
named:
${questions.map(({ id, title }) => `  ${id}  ${title}`).join('\n')}

  --repeats N      runs of each program (5)
  --directory DIR  makes the data in a temporary folder there; about 25 GB (the system's)
  --keep DIR       makes the data there and leaves it for the next time
  --python PATH    Python with numpy and FAISS (/usr/bin/python3); PYTHONPATH is handed on
  --quick          small sizes, to try the harness; prints the page unless --out says where to
  --out DIR        writes benchmarks.md and results.json there instead`;

interface Request {
  asked: readonly Question[];
  repeats: number;
  directory: string;
  keep: boolean;
  python: string;
  quick: boolean;
  out: string | undefined;
}

/** Throws for what makes no sense, before anything is measured; undefined when help was asked for. */
function parse(args: string[]): Request | undefined {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      repeats: { type: 'string', default: '5' },
      directory: { type: 'string', default: tmpdir() },
      keep: { type: 'string' },
      python: { type: 'string', default: '/usr/bin/python3' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const repeats = Number(values.repeats);
  if (!Number.isInteger(repeats) || repeats < 1) throw new Error(`--repeats ${values.repeats} is no count`);
  for (const id of positionals) {
    if (!questions.some((one) => one.id === id)) throw new Error(`there is no question "${id}"`);
  }
  const { directory, keep, python, quick, out } = values;
  const request: Request = {
    asked: positionals.length === 0 ? questions : questions.filter(({ id }) => positionals.includes(id)),
    repeats,
    directory: resolve(keep ?? directory),
    keep: keep !== undefined,
    python,
    quick,
    out: out === undefined ? undefined : resolve(out),
  };
  // Results that cannot be added to are better known now.
  const place = places(request);
  if (place !== undefined) readResults(place.json);
  return request;
}

function say(line: string): void {
  console.error(line);
}

async function bench(request: Request, directory: string): Promise<number> {
  const sizes = request.quick ? QUICK : FULL;
  const tools = findTools(request.python);
  const environment = environmentOf(tools);
  const data = new Data(directory, sizes, (line) => say(`   ${line}`));
  const collection = new Collection(data, sizes.runs, request.python);
  collection.remove();
  const results: Result[] = [];
  let failed = 0;
  try {
    for (const question of request.asked) {
      say(`${question.id}) ${question.title}`);
      try {
        results.push(await ask(question, { request, sizes, tools, environment, data, collection }));
        // After each, so that an interrupted benchmark keeps what it measured.
        write(request, results, false);
      } catch (error) {
        failed += 1;
        say(`   FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      }
    }
  } finally {
    collection.remove();
  }
  write(request, results, true);
  return failed;
}

interface Bench {
  request: Request;
  sizes: Sizes;
  tools: Versions;
  environment: Environment;
  data: Data;
  collection: Collection;
}

async function ask(question: Question, bench: Bench): Promise<Result> {
  const { request, sizes, tools, environment, data, collection } = bench;
  const { repeats, python, quick } = request;
  const missing = new Set<string>();
  const folders: string[] = [];
  const context: Context = {
    sizes,
    repeats,
    data,
    collection,
    python,
    say: (line) => say(`   ${line}`),
    has(tool) {
      if (tools[tool] !== undefined) return true;
      const what = tool === 'time' ? 'GNU time, so no memory is measured' : tool;
      if (!missing.has(what)) say(`   MISSING: ${what}`);
      missing.add(what);
      return false;
    },
    folder(name) {
      const path = join(data.directory, `${question.id}-${name}`);
      rmSync(path, { recursive: true, force: true });
      mkdirSync(path, { recursive: true });
      folders.push(path);
      return path;
    },
  };
  const load = loadNow();
  context.has('time');
  try {
    const began = Date.now();
    const answer = await question.run(context);
    for (const { goal, measured, reached } of answer.verdicts) {
      say(`   ${reached === null ? '?' : reached ? 'yes' : 'NO'}  ${goal}: ${measured}`);
    }
    say(`   took ${((Date.now() - began) / 1000).toFixed(0)} s`);
    const { id, title, goal, method } = question;
    const day = new Date().toISOString().slice(0, 10);
    return { id, title, goal, method, day, load, repeats, quick, missing: [...missing], environment, answer };
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
}

/** Where results go; undefined when they are only printed: small sizes never replace what was measured. */
function places({ quick, out }: Request): { json: string; page: string } | undefined {
  if (quick && out === undefined) return undefined;
  return {
    json: join(out ?? join(REPOSITORY, 'bench'), 'results.json'),
    page: join(out ?? join(REPOSITORY, 'docs'), 'benchmarks.md'),
  };
}

function write(request: Request, results: readonly Result[], last: boolean): void {
  const place = places(request);
  if (place === undefined) {
    if (last) console.log(renderPage(results));
    return;
  }
  const { json, page } = place;
  const all = merge(readResults(json), results);
  writeResults(json, all);
  writeFileSync(page, renderPage(all));
  if (last) say(`wrote ${page} and ${json}`);
}

async function main(): Promise<number> {
  let request: Request | undefined;
  try {
    request = parse(process.argv.slice(2));
  } catch (error) {
    say(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (request === undefined) {
    console.log(USAGE);
    return 0;
  }
  for (const path of [request.directory, request.out]) {
    if (path !== undefined) mkdirSync(path, { recursive: true });
  }
  if (request.keep) return (await bench(request, request.directory)) > 0 ? 1 : 0;
  const directory = mkdtempSync(join(request.directory, 'firn-bench-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      rmSync(directory, { recursive: true, force: true });
      process.exit(130);
    });
  }
  try {
    return (await bench(request, directory)) > 0 ? 1 : 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

process.exitCode = await main();
