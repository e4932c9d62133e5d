/**
 * Runs every test file in a process of its own, two at a time, with a limit, and ends with `N passed, N failed`.
 * uvu has no limit of its own, and a test that never settles lets the process end quietly: a file that prints no
 * closing count has therefore failed, and so has one that says of other tests that they are SKIPPED than it skips.
 * Usage: run.js [part of a file name ...]
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LIMIT_MS = Number(process.env.FIRN_TEST_LIMIT_MS ?? 600_000);
const compiled = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(dirname(compiled));
/** Of the machine that the tests run on, which firn would take for its own. */
const NOT_OURS = /^GITHUB_/;
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_OURS.test(name)));

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  text: string;
}

function runFile(file: string): Promise<Outcome> {
  return new Promise((resolve) => {
    // Colour codes would hide the closing count from the expression below.
    const child = spawn(process.execPath, ['--enable-source-maps', join(compiled, file)], {
      cwd: root,
      env: { ...environment, NO_COLOR: '1', FORCE_COLOR: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const limit = setTimeout(() => {
      text += `\nstopped after ${LIMIT_MS / 1000} s\n`;
      child.kill('SIGKILL');
    }, LIMIT_MS);
    child.on('close', (code) => {
      clearTimeout(limit);
      const total = count(text, 'Total');
      const passed = count(text, 'Passed') ?? 0;
      const skipped = count(text, 'Skipped') ?? 0;
      const said = text.match(/SKIPPED /g)?.length ?? 0;
      if (said !== skipped) text += `\n${said} tests are said to be skipped, and ${skipped} are\n`;
      const failed = total === undefined || said !== skipped ? 1 : total - passed;
      resolve({ passed, skipped, failed: failed === 0 && code !== 0 ? 1 : failed, text });
    });
  });
}

function count(text: string, label: string): number | undefined {
  const found = new RegExp(`^\\s*${label}:\\s+(\\d+)`, 'm').exec(text);
  return found === null ? undefined : Number(found[1]);
}

// From the sources: a compiled file whose source is gone does not count.
const wanted = process.argv.slice(2);
const files = readdirSync(join(root, 'test'))
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => name.replace(/\.ts$/, '.js'))
  .sort();

const sum = { passed: 0, failed: 0, skipped: 0 };
/** Of property tests, told where more than usual were asked for. */
let cases = 0;
const queue = [...files];
async function work(): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const began = Date.now();
    const outcome = await runFile(file);
    sum.passed += outcome.passed;
    sum.failed += outcome.failed;
    sum.skipped += outcome.skipped;
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    const mark = outcome.failed > 0 ? 'FAIL' : 'ok  ';
    console.log(
      `${mark} ${file.replace(/\.js$/, '')}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped (${seconds} s)`,
    );
    for (const line of outcome.text.split('\n')) {
      if (outcome.failed > 0 || /^(SKIPPED|WALKED|CASES)/.test(line)) console.log(`     ${line}`);
      cases += Number(/^CASES (\d+)/.exec(line)?.[1] ?? 0);
    }
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));

for (const part of wanted) {
  if (files.some((file) => file.includes(part))) continue;
  console.log(`no test file matches ${part}`);
  sum.failed += 1;
}
if (cases > 0) console.log(`${cases} cases of property tests`);
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed === 0 ? 0 : 1;
