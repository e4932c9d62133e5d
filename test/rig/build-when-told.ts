/** Builds a project each time it is told to, with a line, and answers with what it did. Usage: build-when-told.js ROOT */
import { createInterface } from 'node:readline';
import { build, openProject } from '../../src/project.js';

const [directory] = process.argv.slice(2);
for await (const _line of createInterface({ input: process.stdin })) {
  const { ran, fresh, failed } = await build(await openProject({ directory }));
  process.stdout.write(`${JSON.stringify({ ran, fresh, failed })}\n`);
}
