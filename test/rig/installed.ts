/**
 * The package as a user has it: packed by npm and unpacked into the node_modules of a folder, with nothing from this
 * repository in reach but the packages it depends on.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './folder.js';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const TSC = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));

export interface Installed {
  /** The folder of the consumer. */
  root: string;
  /** Where the package is. */
  folder: string;
  /** Names of the files in the tarball. */
  files: string[];
}

/** Packs without the scripts of the package: what is compiled is what is tested. */
export function install(): Installed {
  const root = temporaryFolder();
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', root], {
    cwd: REPOSITORY,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ filename, files }] = JSON.parse(packed) as { filename: string; files: { path: string }[] }[];
  const folder = join(root, 'node_modules', 'firn-build');
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', join(root, filename), '-C', folder, '--strip-components=1']);
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Record<string, { [name: string]: string } | undefined>;
  // Types of Node as well: what a program in TypeScript has anyway.
  for (const name of [...Object.keys(dependencies), ...Object.keys(optionalDependencies), '@types/node']) {
    link(root, name);
  }
  link(root, 'undici-types');
  writeFileSync(join(root, 'package.json'), '{"type": "module", "private": true}\n');
  return { root, folder, files: files.map(({ path }) => path) };
}

function link(root: string, name: string): void {
  const from = join(REPOSITORY, 'node_modules', name);
  try {
    readdirSync(from);
  } catch {
    return;
  }
  const to = join(root, 'node_modules', name);
  mkdirSync(dirname(to), { recursive: true });
  symlinkSync(from, to);
}

/** Compiles `NAME.ts` files in the folder of the consumer, as strictly as there is, with the declarations of packages. */
export function compileStrictly(root: string, names: readonly string[]): void {
  const options = {
    target: 'es2022',
    module: 'nodenext',
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noPropertyAccessFromIndexSignature: false,
    skipLibCheck: false,
    outDir: 'out',
    rootDir: '.',
  };
  const files = names.map((name) => `${name}.ts`);
  writeFileSync(join(root, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files }));
  try {
    execFileSync(process.execPath, [TSC, '-p', root], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    throw new Error(`tsc: ${(error as { stdout: string }).stdout}`);
  }
}
