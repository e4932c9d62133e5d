#!/usr/bin/env node
/**
 * Starts the program from its bundle, with the code that V8 made of it when firn was compiled (scripts/bundle.ts writes
 * both). V8 takes that code only where it fits, and else compiles the text as always. CommonJS, since Node starts it
 * sooner. Knows nothing of the program.
 */
import fs = require('node:fs');
import path = require('node:path');
import vm = require('node:vm');

const dist = path.dirname(__dirname);
const bundle = path.join(dist, 'firn.bundle.js');

function readOr<T>(file: string, fallback: T): Buffer | T {
  try {
    return fs.readFileSync(file);
  } catch {
    return fallback;
  }
}

// Of ASCII alone; as such Node reads it in one piece.
const script = new vm.Script(fs.readFileSync(bundle, 'latin1'), {
  filename: bundle,
  cachedData: readOr(path.join(dist, 'firn.bundle.cache'), undefined),
});
script.runInThisContext()(require, (name: string) => import(name), dist);

/** For whoever writes the code down. */
export = script;
