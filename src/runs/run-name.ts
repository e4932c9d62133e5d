/** What can be the name of a run, and how people name one. Pure; knows no disk. */
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** Half of a character: no file has such a name, and the system takes all of them for U+FFFD. */
const HALF = /\p{Surrogate}/u;

/** `dataset/run`, neither of them hidden: such a name joined to the runs folder stays inside it. */
export function isRunName(text: string): boolean {
  const parts = text.split('/');
  return (
    parts.length === 2 &&
    parts.every((part) => part !== '' && !part.startsWith('.') && !part.includes('\0') && !HALF.test(part))
  );
}

/** `dataset/run`, also from the path of its folder, which is what completion in a shell gives. */
export function runNameIn(runsDir: string, text: string): string {
  const plain = text.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
  return plain.startsWith(`${runsDir}/`) ? plain.slice(runsDir.length + 1) : plain;
}

/** The same, also from an absolute path; `root` is the project's folder, `runsDir` relative to it. */
export function runNameAt(root: string, runsDir: string, text: string): string {
  if (!isAbsolute(text)) return runNameIn(runsDir, text);
  return relative(resolve(root, runsDir), text).replaceAll(sep, '/');
}
