/** Paths of a project. In pipeline.yaml they are always relative to the project, with `/`, and never lead out of it. */

export const PIPELINE_FILE = 'pipeline.yaml';
/** Records and stored outputs of the project. */
export const CACHE_FOLDER = 'cache';

/** Surely plain: no name is empty, begins with a dot or may be too long. Rules may give thousands of paths. */
const PLAIN =
  /^[^/\\:.\0\ud800-\udfff][^/\\:\0\ud800-\udfff]{0,83}(?:\/[^/\\:.\0\ud800-\udfff][^/\\:\0\ud800-\udfff]{0,83})*$/;
/** Characters of a path that has fewer bytes than any system allows. */
const SHORT = 1000;

/** bytes, of Linux */
const LONGEST_PATH = 4095;
const LONGEST_NAME = 255;

/** The path in its plain form (`a/b`, no `.` and no trailing `/`); `problem` makes the error when it leaves the project. */
export function checkProjectPath(path: string, problem: (message: string, advice?: string) => Error): string {
  if (path.length < SHORT && PLAIN.test(path)) return path;
  const advice = 'Paths are relative to the folder of pipeline.yaml and stay inside it.';
  if (path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path))
    throw problem(`"${path}" is an absolute path`, advice);
  if (path.includes('\0')) throw problem('a path cannot hold a NUL character');
  // The system would take each of them for U+FFFD, and two of them for one file.
  if (/\p{Surrogate}/u.test(path)) throw problem('a path cannot hold half of a character (a lone surrogate)');
  checkLength(path, problem);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') throw problem(`"${path}" leads out of the project`, advice);
    parts.push(part);
  }
  if (parts.length === 0) throw problem(`"${path}" names no file`);
  return parts.join('/');
}

/** Patterns may be longer than what they match. */
function checkLength(path: string, problem: (message: string, advice?: string) => Error): void {
  const tooLong = (what: string, bytes: number, most: number) =>
    problem(`${what} has ${bytes} bytes, more than the ${most} of a file system`, 'Give it a shorter one.');
  const bytes = Buffer.byteLength(path);
  if (bytes > LONGEST_PATH) throw tooLong('a path', bytes, LONGEST_PATH);
  for (const name of path.split('/')) {
    const length = Buffer.byteLength(name);
    if (length > LONGEST_NAME && !/[*?[{]/.test(name)) throw tooLong('a name', length, LONGEST_NAME);
  }
}
