/** Whether a program can be started, found out as the system does it: by path, or along the PATH. Knows no target. */
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import type { ReadPort } from '../files/port.js';
import { command } from '../shell-word.js';

export interface Lack {
  problem: string;
  remedy: string;
}

/** What `#!` lines are read of. */
const FIRST_LINE_BYTES = 4096;

/** What keeps `word` from being started in `root`; undefined when nothing does. */
export function lackingProgram(port: ReadPort, root: string, word: string, path: string): Lack | undefined {
  if (!word.includes('/')) {
    if (isOnPath(port, root, word, path)) return undefined;
    return {
      problem: 'there is no such program on the PATH',
      remedy: `Install it, activate the environment that has it (conda, venv, module load), or write its path; ${command('command', '-v', word)} shows when it is found.`,
    };
  }
  const file = isAbsolute(word) ? word : join(root, word);
  const stat = port.stat(file);
  if (stat === undefined)
    return {
      problem: 'there is no such file',
      remedy: 'Correct the path; it is seen from the folder of pipeline.yaml.',
    };
  if (stat.kind !== 'file') return { problem: 'it is no file', remedy: 'Name the program in it.' };
  if (port.refusal(file, 'execute') !== undefined)
    return { problem: 'it may not be executed', remedy: `${command('chmod', '+x', '--', word)}` };
  return lackingInterpreter(port, root, file, path);
}

/** The program that the first line of a script names. */
function lackingInterpreter(port: ReadPort, root: string, file: string, path: string): Lack | undefined {
  const text = readFirstLine(port, file);
  const [, interpreter, argument] = /^#!\s*(\S+)(?:[ \t]+(\S+))?/.exec(text) ?? [];
  if (interpreter === undefined) return undefined;
  const remedy = 'Install it, or correct the first line of the script.';
  if (/(^|\/)env$/.test(interpreter) && argument !== undefined && !argument.startsWith('-')) {
    if (isOnPath(port, root, argument, path)) return undefined;
    return { problem: `its first line asks for ${argument}, which is not on the PATH`, remedy };
  }
  if (!isAbsolute(interpreter) || port.stat(interpreter) !== undefined) return undefined;
  return { problem: `its first line names ${interpreter}, which is not there`, remedy };
}

function readFirstLine(port: ReadPort, file: string): string {
  // Programs are as a rule larger than any script, and no text.
  const size = port.stat(file)?.size ?? 0;
  if (size > 64 * 1024) return '';
  return (port.readText(file) ?? '').slice(0, FIRST_LINE_BYTES).split('\n')[0];
}

/** What is not absolute in it, and an empty entry, is seen from the folder that programs are started in. */
function isOnPath(port: ReadPort, root: string, name: string, path: string): boolean {
  return path
    .split(delimiter)
    .map((folder) => resolve(root, folder, name))
    .some((file) => port.stat(file)?.kind === 'file' && port.refusal(file, 'execute') === undefined);
}
