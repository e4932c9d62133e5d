/** Paths of a project. In pipeline.yaml they are always relative to the project, with `/`, and never lead out of it. */

export const PIPELINE_FILE = 'pipeline.yaml';
/** Records and stored outputs of the project. */
export const CACHE_FOLDER = 'cache';

/** Surely plain: no name is empty or begins with a dot. Rules may give thousands of paths. */
const PLAIN = /^[^/\\:.\0][^/\\:\0]*(?:\/[^/\\:.\0][^/\\:\0]*)*$/;

/** The path in its plain form (`a/b`, no `.` and no trailing `/`); `problem` makes the error when it leaves the project. */
export function checkProjectPath(path: string, problem: (message: string, advice?: string) => Error): string {
  if (PLAIN.test(path)) return path;
  const advice = 'Paths are relative to the folder of pipeline.yaml and stay inside it.';
  if (path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path))
    throw problem(`"${path}" is an absolute path`, advice);
  if (path.includes('\0')) throw problem('a path cannot hold a NUL character');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') throw problem(`"${path}" leads out of the project`, advice);
    parts.push(part);
  }
  if (parts.length === 0) throw problem(`"${path}" names no file`);
  return parts.join('/');
}
