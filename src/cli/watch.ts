/** `firn watch`: builds, and builds again at every change. */
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { act, EXIT, globalOptions, wholeNumber } from './main.js';

interface WatchFlags {
  jobs: number;
  settle: number;
  /** True without a number. */
  poll?: number | true;
  explain?: boolean;
  json?: boolean;
}

export function defineWatch(program: Command): void {
  program
    .command('watch [target...]')
    .description('build, and build again at every change')
    .option('-j, --jobs <n>', 'how many independent steps run side by side', wholeNumber('--jobs', 1), 1)
    .option(
      '--settle <seconds>',
      'how long a run or file has to stay the same until it is read',
      seconds('--settle', 0),
      2,
    )
    .option(
      '--poll [seconds]',
      'look every so often (10) instead of watching folders',
      seconds('--poll', 0.05),
    )
    .option('--explain', 'give every reason, not just the first')
    .option('--json', 'print each event as one line of JSON')
    .addHelpText(
      'after',
      `
Examples:
  firn watch                      everything, until Ctrl-C
  firn watch reference -j 2       one target and what it depends on, two steps at a time
  firn watch --poll=30            where other machines write the runs
  firn watch --json | jq -c 'select(.type == "build")'

A run that is still being written is left alone until it is complete. What cannot be built does not keep the rest from
being built, and is tried again when something that it reads has changed.

Exit codes: 0 ended by Ctrl-C, 1 the first build could not begin, 2 the request or pipeline.yaml is wrong, 130 ended by
Ctrl-C in the middle of a build.`,
    )
    .action((targets: string[], flags: WatchFlags, command: Command) => {
      const { directory } = globalOptions(command);
      return act((signal) => run(targets, flags, directory, signal), directory, { endsBySignal: true });
    });
}

async function run(
  targets: string[],
  flags: WatchFlags,
  directory: string,
  signal: AbortSignal,
): Promise<number> {
  const { POLL_MS, watchProject } = await import('../watch/watch.js');
  const reporter = flags.json
    ? (await import('./reporters/watch-json.js')).watchJson()
    : (await import('./reporters/watch-lines.js')).watchLines(flags.explain ?? false, directory);
  const pollMs = flags.poll === true ? POLL_MS : flags.poll && flags.poll * 1000;
  try {
    const { interrupted } = await watchProject({
      directory,
      targets,
      jobs: flags.jobs,
      settleMs: flags.settle * 1000,
      ...(pollMs === undefined ? {} : { pollMs }),
      signal: flags.json ? AbortSignal.any([signal, nobodyReads()]) : signal,
      onEvent: reporter.tell,
    });
    return interrupted ? EXIT.interrupted : EXIT.done;
  } finally {
    reporter.end();
  }
}

/** Aborts when the reader of standard output has gone: what prints for a program has no use without it. */
function nobodyReads(): AbortSignal {
  const abort = new AbortController();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') abort.abort(new FirnError('interrupted', 'interrupted'));
  });
  return abort.signal;
}

function seconds(name: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || value < least || value > 86_400) {
      throw new FirnError(
        'usage',
        `${name} must be a number of seconds from ${least} to 86400, found "${text}"`,
      );
    }
    return value;
  };
}
