#!/usr/bin/env node
/** The program `firn`: names its commands and loads the one that is asked for. No logic. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { defineAdopt } from './cli/adopt.js';
import { defineBuild } from './cli/build.js';
import { defineClean } from './cli/clean.js';
import { defineCompress } from './cli/compress.js';
import { defineGraph } from './cli/graph.js';
import { defineInit } from './cli/init.js';
import { EXIT, report } from './cli/main.js';
import { defineSearch } from './cli/search.js';
import { defineStatus } from './cli/status.js';
import { safe } from './cli/text.js';
import { defineUnlock } from './cli/unlock.js';
import { defineVersions } from './cli/versions.js';
import { defineWhy } from './cli/why.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('firn')
  .description(
    'make for embedding collections: builds what follows from runs of embeddings, and only what is stale',
  )
  .version(version)
  // `firn versions register --version v1.0` means another version than this program's.
  .enablePositionalOptions()
  .showSuggestionAfterError()
  .configureOutput({
    outputError: (text, write) => write(`firn: ${safe(text.replace(/^error: /, ''), true)}`),
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

for (const define of [
  defineInit,
  defineBuild,
  defineStatus,
  defineWhy,
  defineGraph,
  defineSearch,
  defineCompress,
  defineVersions,
  defineClean,
  defineAdopt,
  defineUnlock,
]) {
  define(program);
}

/** Before the command or behind it, whichever comes to mind. */
function takeDirectory(command: Command): void {
  command.option('-C, --directory <dir>', 'the folder of pipeline.yaml (default: where you are)');
  for (const inner of command.commands) takeDirectory(inner);
}
takeDirectory(program);

// A reader that closes the pipe early (head) stops the printing and not the work; a full disk is an error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    process.exitCode = report(error);
    process.exit();
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  else process.exitCode = report(error);
}
