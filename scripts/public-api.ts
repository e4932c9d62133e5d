/**
 * The public API of the package as text: every name that src/index.ts gives away with its signature, from the compiled
 * declarations. Relies on how the compiler lays them out: statements begin in the first column.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const API_FILE = fileURLToPath(new URL('../../test/fixtures/public-api.txt', import.meta.url));
const ENTRY = fileURLToPath(new URL('../src/index.d.ts', import.meta.url));

interface Statement {
  name: string;
  comment: string;
  /** Without comments. */
  text: string;
  /** As it stands. */
  source: string;
}

interface Module {
  statements: Map<string, Statement>;
  /** local name -> module it comes from; packages and Node's modules too */
  imports: Map<string, string>;
}

export interface PublicApi {
  /** One statement a name, in the order of names. */
  text: string;
  /** Types that signatures mention and a user cannot name, `name (in declaration)`. */
  hidden: string[];
  /** Names without a docstring, and methods without one as `name.method`. */
  undocumented: string[];
}

export function publicApi(): PublicApi {
  const exported = new Map<string, string>();
  for (const [, names, from] of readFileSync(ENTRY, 'utf8').matchAll(
    /export (?:type )?\{([^}]*)\} from '([^']+)'/g,
  )) {
    for (const name of names.split(',')) {
      exported.set(
        name.replace(/^\s*type\s/, '').trim(),
        join(dirname(ENTRY), from.replace(/\.js$/, '.d.ts')),
      );
    }
  }
  exported.delete('');
  const names = [...exported.keys()].sort();
  const texts: string[] = [];
  const hidden: string[] = [];
  const undocumented: string[] = [];
  for (const name of names) {
    const module = moduleAt(exported.get(name) as string);
    const statement = module.statements.get(name);
    if (statement === undefined) throw new Error(`${name} is not declared where src/index.ts takes it from`);
    texts.push(statement.text);
    const words = new Set(statement.text.match(/[A-Za-z_]\w*/g));
    for (const known of [...module.imports.keys(), ...module.statements.keys()]) {
      if (words.has(known) && !exported.has(known)) hidden.push(`${known} (in ${name})`);
    }
    undocumented.push(...undocumentedIn(statement));
  }
  return { text: `${texts.join('\n\n')}\n`, hidden, undocumented };
}

const modules = new Map<string, Module>();

function moduleAt(path: string): Module {
  const known = modules.get(path);
  if (known !== undefined) return known;
  const source = readFileSync(path, 'utf8');
  const module: Module = { statements: new Map(), imports: new Map() };
  const parts = source.split(/^(?=(?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?(?:export |declare |import ))/m);
  let comment = '';
  for (const part of parts) {
    if (part.startsWith('/**') && /\*\/\s*$/.test(part)) {
      comment = part;
      continue;
    }
    for (const [, named, from] of part.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm)) {
      for (const name of named.split(',')) module.imports.set(name.replace(/^\s*type\s/, '').trim(), from);
    }
    const found =
      /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|class|function|const) (\w+)/.exec(part);
    if (found !== null)
      module.statements.set(found[1], { name: found[1], comment, text: plain(part), source: part });
    comment = '';
  }
  modules.set(path, module);
  return module;
}

/** Without comments, private members and what every declaration begins with. */
function plain(source: string): string {
  return source
    .replace(/^[ \t]*\/\*\*[\s\S]*?\*\/\n/gm, '')
    .replace(/\/\*\*[\s\S]*?\*\/\s*/g, '')
    .replace(/^ *(private .*|#private;)\n/gm, '')
    .replace(/^export (declare )?/, '')
    .trimEnd();
}

function undocumentedIn({ name, comment, source }: Statement): string[] {
  const missing = comment === '' ? [name] : [];
  const lines = source.split('\n');
  for (const [i, line] of lines.entries()) {
    const method = /^ {4}(\w+)(?:<.*>)?\(/.exec(line)?.[1];
    const isPlain = method === undefined || method === 'constructor' || method === 'close';
    if (!isPlain && !lines[i - 1].trimEnd().endsWith('*/')) missing.push(`${name}.${method}`);
  }
  return missing;
}
