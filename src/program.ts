/** The program: names its commands and loads the one that is asked for. No logic. */
import { Command, CommanderError } from 'commander';
import { EXIT, report } from './cli/main.js';
import { safe } from './cli/text.js';
import { FIRN_VERSION } from './firn-version.js';

/** In the order of the help. */
const COMMANDS: { [name: string]: () => Promise<(program: Command) => void> } = {
  init: async () => (await import('./cli/init.js')).defineInit,
  build: async () => (await import('./cli/build.js')).defineBuild,
  watch: async () => (await import('./cli/watch.js')).defineWatch,
  status: async () => (await import('./cli/status.js')).defineStatus,
  why: async () => (await import('./cli/why.js')).defineWhy,
  graph: async () => (await import('./cli/graph.js')).defineGraph,
  search: async () => (await import('./cli/search.js')).defineSearch,
  compress: async () => (await import('./cli/compress.js')).defineCompress,
  versions: async () => (await import('./cli/versions.js')).defineVersions,
  runs: async () => (await import('./cli/runs.js')).defineRuns,
  du: async () => (await import('./cli/du.js')).defineDu,
  release: async () => (await import('./cli/release.js')).defineRelease,
  releases: async () => (await import('./cli/releases.js')).defineReleases,
  verify: async () => (await import('./cli/verify.js')).defineVerify,
  backup: async () => (await import('./cli/backup.js')).defineBackup,
  restore: async () => (await import('./cli/restore.js')).defineRestore,
  clean: async () => (await import('./cli/clean.js')).defineClean,
  cache: async () => (await import('./cli/cache.js')).defineCache,
  adopt: async () => (await import('./cli/adopt.js')).defineAdopt,
  doctor: async () => (await import('./cli/doctor.js')).defineDoctor,
  unlock: async () => (await import('./cli/unlock.js')).defineUnlock,
};

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
  .configureOutput({
    outputError: (text, write) => {
      const [message, meant] = text
        .trimEnd()
        .replace(/^error: /, '')
        .split(/\n(?=\(Did you mean [^\n]*$)/);
      write(`firn: ${safe(message)}\n${meant === undefined ? '' : `${safe(meant)}\n`}`);
    },
  })
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  firn init                          write a pipeline.yaml for the runs that are here
  firn build                         build everything that is stale
  firn build --dry-run --explain     say what would be built, and why
  firn search --run My_Dataset/2024-11-22 --seq-idx 42 --top-k 10`,
  );

/** Before the command or behind it, whichever comes to mind. */
function takeDirectory(command: Command): void {
  command.option('-C, --directory <dir>', 'the folder of pipeline.yaml (default: where you are)');
  for (const inner of command.commands) takeDirectory(inner);
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
  // All of them are needed only for help, and to say what a misspelt one may have meant.
  const typed = typedCommand(process.argv.slice(2));
  for (const name of typed === undefined ? Object.keys(COMMANDS) : [typed]) (await COMMANDS[name]())(program);
  takeDirectory(program);
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
    else process.exitCode = report(error);
  }
}

void main();
