/** The program: names its commands and loads the one that is asked for. No logic. */
import { Command, CommanderError } from 'commander';
import { EXIT, report } from './cli/main.js';
import { safe } from './cli/text.js';
import { FIRN_VERSION } from './firn-version.js';

type Commands = { [name: string]: () => Promise<(program: Command) => void> };

/** Under their headings, in the order of the help. */
const GROUPS: { [heading: string]: Commands } = {
  'Build:': {
    init: async () => (await import('./cli/init.js')).defineInit,
    build: async () => (await import('./cli/build.js')).defineBuild,
    watch: async () => (await import('./cli/watch.js')).defineWatch,
    status: async () => (await import('./cli/status.js')).defineStatus,
    why: async () => (await import('./cli/why.js')).defineWhy,
    graph: async () => (await import('./cli/graph.js')).defineGraph,
  },
  'Search:': {
    search: async () => (await import('./cli/search.js')).defineSearch,
  },
  'Runs:': {
    runs: async () => (await import('./cli/runs.js')).defineRuns,
    compress: async () => (await import('./cli/compress.js')).defineCompress,
    versions: async () => (await import('./cli/versions.js')).defineVersions,
  },
  'Releases and backups:': {
    release: async () => (await import('./cli/release.js')).defineRelease,
    releases: async () => (await import('./cli/releases.js')).defineReleases,
    verify: async () => (await import('./cli/verify.js')).defineVerify,
    backup: async () => (await import('./cli/backup.js')).defineBackup,
    restore: async () => (await import('./cli/restore.js')).defineRestore,
  },
  'Housekeeping:': {
    doctor: async () => (await import('./cli/doctor.js')).defineDoctor,
    du: async () => (await import('./cli/du.js')).defineDu,
    clean: async () => (await import('./cli/clean.js')).defineClean,
    cache: async () => (await import('./cli/cache.js')).defineCache,
    adopt: async () => (await import('./cli/adopt.js')).defineAdopt,
    unlock: async () => (await import('./cli/unlock.js')).defineUnlock,
  },
};
const COMMANDS: Commands = Object.assign({}, ...Object.values(GROUPS));

/** The command that is typed; undefined when the first word behind the program's options is none. */
function typedCommand(words: readonly string[]): string | undefined {
  for (let i = 0; i < words.length; i++) {
    if (words[i] === '-C' || words[i] === '--directory') i += 1;
    else if (!words[i].startsWith('-')) return Object.hasOwn(COMMANDS, words[i]) ? words[i] : undefined;
  }
  return undefined;
}

const program = new Command('firn')
  .description(
    'make for embedding collections: builds what follows from runs of embeddings, and only what is stale',
  )
  .version(FIRN_VERSION)
  // `firn versions register --version v1.0` means another version than this program's.
  .enablePositionalOptions()
  .showSuggestionAfterError()
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  firn init                          write a pipeline.yaml for the runs that are here
  firn build                         build everything that is stale
  firn build --dry-run --explain     say what would be built, and why
  firn search --run My_Dataset/2024-11-22 --seq-idx 42 --top-k 10

Exit codes: 0 done, 1 something failed, 2 the request or pipeline.yaml is wrong, 130 interrupted.`,
  );

/** What every command has: -C, before the command or behind it, whichever comes to mind, and errors that say how to go on. */
function prepare(command: Command, path: readonly string[] = ['firn']): void {
  command
    .option('-C, --directory <dir>', 'the folder of pipeline.yaml (default: where you are)')
    .configureOutput({ outputError: (text, write) => write(usageError(text, path)) });
  for (const inner of command.commands) prepare(inner, [...path, inner.name()]);
}

/** Commander's message as firn says such things. */
function usageError(text: string, path: readonly string[]): string {
  const [message, meant] = text
    .trimEnd()
    .replace(/^error: /, '')
    .split(/\n\(Did you mean (?:one of )?([^\n]*)\?\)$/);
  const advice =
    meant === undefined
      ? `\`${path.join(' ')} --help\` shows how it is used.`
      : `Did you mean ${meant
          .split(', ')
          .map((word) => `"${safe(word)}"`)
          .join(' or ')}?`;
  return `firn: ${safe(message)}\n  ${advice}\n`;
}

// A reader that closes the pipe early (head) and a terminal that is closed stop the printing and not the work, which a signal
// may end; a full disk is an error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || (error.code === 'EIO' && stream.isTTY)) return;
    process.exitCode = report(error);
    process.exit();
  });
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  // As commander has it, the help of what is no command is that of the program, without a word of what is wrong.
  if (words.length === 2 && words[0] === 'help' && typedCommand(words.slice(1)) === undefined) words.shift();
  // All of them are needed only for help, and to say what a misspelt one may have meant.
  const typed = typedCommand(words);
  for (const [heading, commands] of Object.entries(GROUPS)) {
    program.commandsGroup(heading);
    for (const name of Object.keys(commands))
      if (typed === undefined || typed === name) (await commands[name]())(program);
  }
  program.helpCommand(true);
  prepare(program);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
    else process.exitCode = report(error);
  }
}

void main();
