#!/usr/bin/env node
/**
 * Starts the program from its bundle, with the code that V8 made of it when firn was compiled (scripts/bundle.ts writes
 * both). That code is for one build of Node: V8 itself looks only at its own version, and takes what another Node with that
 * version made, which ends in a crash. CommonJS, since Node starts it sooner. Knows nothing of the program.
 */
import fs = require('node:fs');
import path = require('node:path');
import vm = require('node:vm');

const dist = path.dirname(__dirname);
const bundle = path.join(dist, 'firn.bundle.js');

/** Which build of Node this is; stands before the code. Two of one version (Debian's, the official one) differ in size. */
function thisNode(): Buffer {
  const { version, versions, platform, arch, execPath } = process;
  const text = [version, versions.v8, platform, arch, fs.statSync(execPath).size].join(' ');
  return Buffer.from(`${text.padEnd(127)}\n`);
}

/** Undefined where there is none, or that of another Node: then V8 compiles the text. */
function codeForThisNode(): Buffer | undefined {
  try {
    const node = thisNode();
    const file = fs.readFileSync(path.join(dist, 'firn.bundle.cache'));
    return node.equals(file.subarray(0, node.length)) ? file.subarray(node.length) : undefined;
  } catch {
    return undefined;
  }
}

// Of ASCII alone; as such Node reads it in one piece.
const script = new vm.Script(fs.readFileSync(bundle, 'latin1'), {
  filename: bundle,
  cachedData: codeForThisNode(),
});
script.runInThisContext()(require, (name: string) => import(name), dist);

/** For whoever writes the code down. */
export = { script, thisNode };
