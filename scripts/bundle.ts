/**
 * Writes dist/firn.bundle.js, the compiled program in one file, and beside it the code that V8 makes of it. Node takes
 * longer to find, link and compile a hundred modules than most commands take to run. Other packages than those named here
 * stay outside, and are loaded when they are needed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { createNpy } from '../src/arrays/npy-writer.js';
import { disk } from '../src/files/disk.js';

const dist = dirname(dirname(fileURLToPath(import.meta.url)));

/** Each module still sees its own place. */
const places: Plugin = {
  name: 'places',
  setup(bundle) {
    bundle.onLoad({ filter: /\.js$/ }, async ({ path }) => {
      if (!path.startsWith(dist + sep)) return undefined;
      const text = await readFile(path, 'utf8');
      const place = JSON.stringify(relative(dist, path).replaceAll(sep, '/'));
      return { contents: text.replaceAll('import.meta.url', `placeOf(${place})`), loader: 'js' };
    });
  },
};

/** Packages of many modules that most commands need, every edit of a pipeline.yaml, or the rule `command`. */
const INSIDE = ['ajv', 'commander', 'yaml', 'zx/core'];

const packages: Plugin = {
  name: 'packages',
  setup(bundle) {
    bundle.onResolve({ filter: /^[^./]/ }, ({ path, kind, importer }) =>
      kind === 'entry-point' || INSIDE.includes(path) || importer.includes(`${sep}node_modules${sep}`)
        ? undefined
        : { path, external: true },
    );
  },
};

/** Few commands start programs or threads, and what starts them takes Node as long to load as much of firn. */
const LATER: { [module: string]: string[] } = {
  'node:child_process': ['spawn', 'spawnSync'],
  'node:worker_threads': ['Worker'],
};

const later: Plugin = {
  name: 'later',
  setup(bundle) {
    bundle.onResolve({ filter: new RegExp(`^(${Object.keys(LATER).join('|')})$`) }, ({ path, namespace }) =>
      namespace === 'later' ? { path, external: true } : { path, namespace: 'later' },
    );
    bundle.onLoad({ filter: /./, namespace: 'later' }, ({ path }) => {
      const members = LATER[path].map((name) => `get ${name}() { return require('${path}').${name}; }`);
      return { contents: `module.exports = { ${members.join(', ')} };` };
    });
  },
};

async function writeBundle(): Promise<void> {
  rmSync(join(dist, 'firn.bundle.cache'), { force: true });
  const file = join(dist, 'firn.bundle.js');
  const { outputFiles } = await build({
    entryPoints: [join(dist, 'src', 'program.js')],
    outfile: file,
    write: false,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    // start.cts reads it as such.
    charset: 'ascii',
    minifyWhitespace: true,
    banner: {
      js: `(function (require, importModule, dist) {
const placeOf = (path) => require('node:url').pathToFileURL(require('node:path').join(dist, path)).href;`,
    },
    footer: { js: '})' },
    plugins: [places, later, packages],
  });
  // Code that V8 takes from a cache cannot import by itself.
  writeFileSync(file, outputFiles[0].text.replace(/(?<![\w$.'"`])import\(/g, 'importModule('));
}

/** Of a build and of one with nothing to do: the functions that these use are compiled then. */
async function writeCodeCache(): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'firn-bundle-'));
  try {
    const run = join(root, 'consolidated_data/runs/A/r1');
    mkdirSync(run, { recursive: true });
    const array = await createNpy(disk, join(run, 'embeddings.npy'), { dtype: 'f4', dims: 2, rows: 1 });
    await array.write(new Uint8Array(8));
    await array.finish();
    const copy = 'fs.copyFileSync(process.argv[1], process.argv[2])';
    const words = [process.execPath, '-e', copy, '{in}', '{out}'].map((word) => JSON.stringify(word));
    writeFileSync(
      join(root, 'pipeline.yaml'),
      `targets:
  reference: {rule: consolidate, runs: all, out: data}
  index: {rule: index, from: reference}
  copy: {rule: command, from: pipeline.yaml, out: copy, run: [${words}]}
`,
    );
    // On GitHub these builds are none that the page of the job tells of.
    const { GITHUB_STEP_SUMMARY: _page, ...env } = process.env;
    for (let time = 0; time < 3; time++) {
      const script = join(dist, 'scripts', 'code-cache.cjs');
      execFileSync(process.execPath, [script, '-C', root, 'build'], { stdio: 'pipe', env });
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

await writeBundle();
await writeCodeCache();
