/**
 * SHA256SUMS, as `sha256sum` writes it and `sha256sum -c` checks it. Pure; knows no disk.
 *
 * A line is the digest in hexadecimal, a space, a flag (space for text, `*` for binary, which is the same here) and the
 * name. When the name holds a backslash, a line feed or a carriage return, the line begins with a backslash and these
 * are written \\, \n and \r. Source: GNU coreutils manual, "cksum output modes" (gnu.org/software/coreutils/manual).
 */

export interface Sum {
  /** With `/` between folders. */
  name: string;
  /** 64 hexadecimal digits. */
  sha256: string;
}

const ESCAPES: { [char: string]: string } = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
const LINE = /^(\\?)([0-9a-fA-F]{64}) [ *](.+)$/s;

/** In the order of names, so that equal files give equal text. */
export function formatSums(sums: readonly Sum[]): string {
  return [...sums]
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ name, sha256 }) => {
      const escaped = name.replace(/[\\\n\r]/g, (char) => ESCAPES[char]);
      return `${escaped === name ? '' : '\\'}${sha256}  ${escaped}\n`;
    })
    .join('');
}

export interface ParsedSums {
  sums: Sum[];
  /** What is wrong with it, with the line. */
  problems: string[];
}

/** Every line that is one, and what is wrong with the others. */
export function parseSums(text: string): ParsedSums {
  const sums: Sum[] = [];
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const [i, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const [, escaped, digest, rest] = LINE.exec(line) ?? [];
    const name = digest === undefined ? undefined : escaped === '' ? rest : unescapeName(rest);
    if (name === undefined) problems.push(`line ${i + 1} is no line of sha256sum`);
    else if (!staysInside(name))
      problems.push(`line ${i + 1} names ${JSON.stringify(name)}, outside the directory`);
    else if (seen.has(name)) problems.push(`line ${i + 1} names ${JSON.stringify(name)} again`);
    else {
      seen.add(name);
      sums.push({ name, sha256: digest.toLowerCase() });
    }
  }
  if (sums.length === 0 && problems.length === 0) problems.push('names no file');
  if (text !== '' && !text.endsWith('\n')) problems.push('is cut short: its last line has no end');
  return { sums, problems };
}

/** Undefined for an escape that is none. */
function unescapeName(text: string): string | undefined {
  let wrong = false;
  const plain = text.replace(/\\(.?)/gs, (_, char: string) => {
    if (char === 'n') return '\n';
    if (char === 'r') return '\r';
    if (char !== '\\') wrong = true;
    return char;
  });
  return wrong ? undefined : plain;
}

function staysInside(name: string): boolean {
  return (
    !name.includes('\0') && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}
