/** Runs the program with the arguments given, and writes what V8 has compiled of it by then to dist/firn.bundle.cache. */
import fs = require('node:fs');
import path = require('node:path');
import type vm = require('node:vm');

const dist = path.dirname(__dirname);
const script = require(path.join(dist, 'src', 'start.cjs')) as vm.Script;
process.on('exit', () => {
  fs.writeFileSync(path.join(dist, 'firn.bundle.cache'), script.createCachedData());
});
