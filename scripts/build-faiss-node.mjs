/**
 * Compiles node_modules/faiss-node without its installer, which would download: its own source against Debian's
 * libfaiss-dev and libopenblas-dev, with g++ and the headers of this Node. Needs nothing from the network but
 *
 *   apt-get install g++ libfaiss-dev libopenblas-dev libnode-dev
 *
 * (libnode-dev only where Node comes without its headers). Run it with: npm run faiss-node
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

function fail(problem, advice) {
  console.error(`faiss-node was not compiled: ${problem}\n  ${advice}`);
  process.exit(1);
}

function packageDirectory(name, from) {
  try {
    return dirname(from.resolve(`${name}/package.json`));
  } catch {
    return fail(`the package ${name} is not installed`, 'Run npm ci without --omit=optional, then again.');
  }
}

function nodeHeaders() {
  const candidates = [
    join(dirname(process.execPath), '..', 'include', 'node'),
    process.env.npm_config_nodedir && join(process.env.npm_config_nodedir, 'include', 'node'),
    '/usr/include/node',
    '/usr/include/nodejs/src',
  ];
  const found = candidates.find((directory) => directory && existsSync(join(directory, 'node_api.h')));
  return found ?? fail(`no node_api.h in ${candidates.filter(Boolean).join(', ')}`, 'Install libnode-dev.');
}

function link(library) {
  const found = execFileSync('g++', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
  return found === library ? undefined : found;
}

if (spawnSync('g++', ['--version']).status !== 0) fail('there is no g++', 'apt-get install g++');
if (!existsSync('/usr/include/faiss/Index.h'))
  fail('there are no FAISS headers', 'apt-get install libfaiss-dev');
if (link('libopenblas.so') === undefined)
  fail('there is no libopenblas.so', 'apt-get install libopenblas-dev');

const root = packageDirectory('faiss-node', require);
const addonApi = packageDirectory('node-addon-api', createRequire(join(root, 'package.json')));
const release = join(root, 'build', 'Release');
mkdirSync(release, { recursive: true });

// The package wants FAISS 1.7.4, where idx_t moved from faiss::Index to the namespace; before, it is the class's.
const older = !/\bidx_t\b/.test(readFileSync('/usr/include/faiss/MetricType.h', 'utf8'));
const original = readFileSync(join(root, 'src', 'faiss.cc'), 'utf8');
const source = older ? original.replace('faiss::idx_t', 'faiss::Index::idx_t') : original;
const patched = join(release, 'faiss.cc');
writeFileSync(patched, source);

const target = join(release, 'faiss-node.node');
const temporary = `${target}.new`;
const flags = [
  '-std=c++17',
  '-O2',
  '-fPIC',
  '-shared',
  '-fopenmp',
  '-DNAPI_VERSION=6',
  '-DNODE_GYP_MODULE_NAME=faiss_node',
];
const includes = ['-I', nodeHeaders(), '-I', addonApi];
// openblas before lapack: it holds its own lapack.
const libraries = ['-lfaiss', '-lopenblas'];
const compiled = spawnSync('g++', [...flags, ...includes, patched, '-o', temporary, ...libraries], {
  stdio: 'inherit',
});
rmSync(patched);
if (compiled.status !== 0) {
  rmSync(temporary, { force: true });
  fail('g++ failed', 'Its messages are above.');
}
renameSync(temporary, target);

const check =
  "const f = require('faiss-node'); const i = f.Index.fromFactory(2, 'HNSW4'); i.add([0, 1]); if (i.ntotal() !== 1) process.exit(1);";
const works = spawnSync(process.execPath, ['-e', check], { cwd: dirname(dirname(root)), stdio: 'inherit' });
if (works.status !== 0) {
  rmSync(target);
  fail('the binary does not load', 'Its message is above.');
}
console.log(`compiled ${target}`);
