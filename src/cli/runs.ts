/** `firn runs`: which runs there are, and what becomes of old ones. Dry runs unless told otherwise. */
import type { Command } from 'commander';
import { defineArchive } from './runs/archive.js';
import { defineList } from './runs/list.js';
import { defineRestore } from './runs/restore.js';
import { defineRemove } from './runs/rm.js';

export function defineRuns(program: Command): void {
  const runs = program
    .command('runs')
    .description('the life of runs: list, archive, restore, rm')
    .addHelpText(
      'after',
      `
Examples:
  firn runs list --recent 10
  firn runs archive --older-than 180 --to /mnt/archive             what would go
  firn runs archive --older-than 180 --to /mnt/archive --execute
  firn runs restore My_Dataset/2024-11-22 --execute
  firn runs rm My_Dataset/2024-11-22 --execute`,
    );
  defineList(runs);
  defineArchive(runs);
  defineRestore(runs);
  defineRemove(runs);
}
