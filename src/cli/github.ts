/**
 * What the runner of GitHub Actions reads out of a program's output, written and kept out. Knows no build.
 *
 * A line is a command when it begins with `::`, white space aside, or holds `##[` anywhere (the older form, which the
 * runner still obeys): https://github.com/actions/runner, src/Runner.Common/ActionCommand.cs. The runner reads both
 * streams. `::stop-commands::` could shut it up around the output of a step, but would leave commands off when firn is
 * killed in between; text that is no command needs no state.
 */
import { relative, resolve, sep } from 'node:path';
import { FirnError } from '../errors.js';
import { safe } from './text.js';

/** Whether messages end up in the log of a runner that obeys commands. */
export function isGitHubLog(): boolean {
  return process.env.GITHUB_ACTIONS === 'true';
}

/** Text of any lines with nothing in it that the runner would obey. The same text, unless somebody wrote such a thing. */
export function neutral(text: string): string {
  return text.replaceAll('##[', '## [').replace(/^(?=[^\S\n]*::)/gmu, '| ');
}

/** The same for JSON, which stays equal to what it was. */
export function neutralJson(json: string): string {
  // Can stand in a string only; and no line of JSON begins with a colon.
  return json.replaceAll('##[', '\\u0023#[');
}

export interface CommandPlace {
  /** Relative to the repository, with `/`. */
  file?: string;
  line?: number;
  col?: number;
  title?: string;
}

/** One command, on one line whatever is in it. */
export function workflowCommand(
  name: 'group' | 'endgroup' | 'error' | 'warning',
  message = '',
  place: CommandPlace = {},
): string {
  const properties = (['file', 'line', 'col', 'title'] as const)
    .flatMap((key) => (place[key] === undefined ? [] : [`${key}=${escapeProperty(String(place[key]))}`]))
    .join(',');
  return `::${name}${properties === '' ? '' : ` ${properties}`}::${escapeData(message)}`;
}

/** Line breaks of messages are kept, as the runner knows them; other control characters are shown. */
function escapeData(text: string): string {
  return safe(text, true).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** Where in a file of the repository an error is; `directory` is where its path is seen from. */
export function placeOf(error: unknown, directory: string): CommandPlace {
  if (!(error instanceof FirnError) || error.path === undefined || error.line === undefined) return {};
  const file = relative(process.env.GITHUB_WORKSPACE ?? '.', resolve(directory, error.path));
  // Outside the repository there is nothing to point at.
  if (file.startsWith('..') || resolve(file) === file) return {};
  return {
    file: file.replaceAll(sep, '/'),
    line: error.line,
    ...(error.column === undefined ? {} : { col: error.column }),
  };
}
