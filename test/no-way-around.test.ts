/** Nothing changes the disk around the port: what the fault rig counts is all there is. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('no way around the port');

/** Of node:fs, by file; none of these changes anything. */
const READS: { [file: string]: string[] } = {
  // The version in package.json.
  'src/firn-version.ts': ['readFileSync'],
  // The bundle, the code that V8 made of it, and which Node this is.
  'src/start.cts': ['readFileSync', 'statSync'],
  // /proc and /etc/machine-id.
  'src/engine/lock.ts': ['readFileSync', 'readlinkSync'],
  // A file that the main thread opened through the port.
  'src/workers/hash-jobs.ts': ['readSync'],
};

/** Who starts programs: what they write goes by the names that firn gives them, in the staging folder of the step. */
const STARTS = [
  'src/files/run-program.ts',
  // FAISS, which gives its index back through a pipe.
  'src/faiss/factory-process.ts',
  // Node, to say where a rule of the project has a syntax error.
  'src/pipeline/rules.ts',
  // Node, to see whether a package loads that may end the process it is in.
  'src/doctor/machine.ts',
];

const sources = ['src', 'rules'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|cts|mts)$/.test(name))
    .map((name) => join(folder, name)),
);

/** The names that a source takes from a module of Node; `*` for what cannot be told from the text. */
function namesFrom(source: string, module: string): string[] {
  const text = source.replace(/import type [^;]*;/g, '');
  const spelt = `['"](?:node:)?${module}['"]`;
  const names: string[] = [];
  const named = new RegExp(`import ([^;]*?) from ${spelt}`, 'g');
  for (const [, clause] of text.matchAll(named)) {
    const braces = /^\{([^}]*)\}$/.exec(clause.trim());
    if (braces === null) names.push(...membersOf(text, /\* as (\w+)/.exec(clause)?.[1] ?? clause.trim()));
    else names.push(...braces[1].split(',').flatMap((name) => name.replace(/\btype .*/, '').trim() || []));
  }
  for (const [, name] of text.matchAll(new RegExp(`import (\\w+) = require\\(${spelt}\\)`, 'g')))
    names.push(...membersOf(text, name));
  const left = text.replaceAll(named, '').replace(/import \w+ = require\([^)]*\)/g, '');
  if (new RegExp(`(import|require|from|getBuiltinModule)\\s*\\(?\\s*${spelt}`).test(left)) names.push('*');
  return [...new Set(names)].sort();
}

function membersOf(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`\\b${name}\\.(\\w+)`, 'g'))].map(([, member]) => member);
}

test('node:fs is used by the port, and elsewhere for reading', () => {
  assert.ok(sources.length > 100);
  for (const file of sources.filter((name) => name !== 'src/files/disk.ts')) {
    const text = readFileSync(file, 'utf8');
    const used = [...namesFrom(text, 'fs'), ...namesFrom(text, 'fs/promises')];
    assert.equal(used, READS[file] ?? [], `${file} uses node:fs around src/files/port.ts`);
    assert.not.match(text, /process\.binding|getBuiltinModule|createWriteStream/, file);
  }
});

test('other programs are started in few places', () => {
  for (const file of sources) {
    const text = readFileSync(file, 'utf8');
    const starts =
      namesFrom(text, 'child_process').length > 0 || /await import\('node:child_process'\)/.test(text);
    assert.is(starts, STARTS.includes(file), `${file} starts programs`);
  }
});

test('the check itself sees every way to take something from a module', () => {
  for (const [text, names] of [
    ["import { rmSync, type Stats } from 'node:fs';", ['rmSync']],
    ["import * as fs from 'fs';\nfs.rmSync(x); fs.promises.rm(x)", ['promises', 'rmSync']],
    ["import fs from 'node:fs';\nfs.rmSync(x)", ['rmSync']],
    ["import fs = require('node:fs');\nfs.rmSync(x)", ['rmSync']],
    ["const fs = require('fs');", ['*']],
    ["const { rmSync } = await import('node:fs');", ['*']],
    ["export * from 'node:fs';", ['*']],
    ["import type { Stats } from 'node:fs';", []],
  ] as const) {
    assert.equal(namesFrom(text, 'fs'), [...names].sort(), text);
  }
});

test.run();
