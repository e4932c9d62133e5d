/** Runs the program with the arguments given, and writes what V8 has compiled of it by then to dist/firn.bundle.cache. */
import fs = require('node:fs');
import path = require('node:path');

const dist = path.dirname(__dirname);
const { script, thisNode } = require(
  path.join(dist, 'src', 'start.cjs'),
) as typeof import('../src/start.cjs');
process.on('exit', () => {
  const code = script.createCachedData();
  fs.writeFileSync(path.join(dist, 'firn.bundle.cache'), Buffer.concat([thisNode(), code]));
});
