/** Other people's software as the judge: numpy and FAISS in Debian's Python. */
import { spawnSync } from 'node:child_process';
import { type Run, type Suite, testWhere } from './where.js';

const PYTHON = process.env.FIRN_TEST_PYTHON ?? '/usr/bin/python3';

const lacking = new Map<string, string | undefined>();

/** Why this machine cannot run Python with these modules, or undefined when it can. */
export function pythonLacks(...modules: string[]): string | undefined {
  const key = modules.join(' ');
  if (!lacking.has(key)) lacking.set(key, probe(modules));
  return lacking.get(key);
}

function probe(modules: readonly string[]): string | undefined {
  const result = spawnSync(PYTHON, ['-c', modules.map((name) => `import ${name}`).join('\n')], {
    encoding: 'utf8',
  });
  if (result.error !== undefined) return `${PYTHON} cannot be run: ${result.error.message}`;
  return result.status === 0 ? undefined : `${PYTHON} lacks ${modules.join(' or ')}`;
}

/** Runs a Python script with arguments; its standard output. Throws with its error output when it fails. */
export function python(script: string, ...args: string[]): string {
  const result = spawnSync(PYTHON, ['-c', script, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`python failed (${result.status}): ${result.stderr}`);
  return result.stdout;
}

/** Registers a test that needs Python modules. */
export function oracleTest(suite: Suite, modules: string[], name: string, run: Run): void {
  testWhere(suite, pythonLacks(...modules), name, run);
}
