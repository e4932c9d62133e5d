/** Question j: an edit of one target of many. */
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settle } from '../collection.js';
import { expectPrinted, type Program, runQuietly, shortInTurn } from '../measure.js';
import { firn } from '../programs.js';
import { type Context, type Question, rowOf } from '../question.js';
import { atMost, times } from '../verdict.js';

const NODE = 'node -e 0';
const MORE_ROUNDS = 4;

export const question: Question = {
  id: 'j',
  title: 'One of 100 targets is edited',
  goal: 'what nothing to do costs (1.5 times the start of Node.js), and the one target',
  method: `100 targets of the rule command, each of which copies a small file. Before each run one of them gets another
\`version\`, so that it is built again and the others are not. The same edit in ninja (another word in the command) and
snakemake (another parameter); make does not notice such edits, so there the input is touched. \`cp\` alone is the work of
the target. One run of each to warm up, then twenty (four times the repeats), of snakemake five.`,
  async run(context) {
    const folder = context.folder('edit');
    const count = context.sizes.targets;
    mkdirSync(join(folder, 'in'));
    for (let i = 0; i < count; i++) writeFileSync(join(folder, 'in', `${i}.txt`), `file ${i}\n`);
    const programs = await programsFor(context, folder, count);
    const measured = await shortInTurn(
      programs.map(([, program]) => program),
      context.repeats * MORE_ROUNDS,
    );
    expectPrinted(measured[0], '1 built');
    const rows = programs.map(([who], i) => rowOf(who, measured[i]));
    const [ours, node, copy] = rows.map(({ seconds }) => seconds.median);
    return {
      rows,
      verdicts: [atMost(`time without that of cp, beside ${NODE}`, (ours - copy) / node, 1.5, times)],
      notes: [],
    };
  },
};

async function programsFor(context: Context, folder: string, count: number): Promise<[string, Program][]> {
  const edited = count >> 1;
  const edits = counter();
  const pipeline = (edit: string): void => write(folder, 'pipeline.yaml', pipelineText(count, edited, edit));
  pipeline(edits());
  await runQuietly(firn('build'), folder);
  await settle(folder);
  const programs: [string, Program][] = [
    ['firn', { argv: firn('build'), cwd: folder, prepare: () => pipeline(edits()) }],
    [NODE, { argv: [process.execPath, '-e', '0'], cwd: folder }],
    ['cp', { argv: ['cp', join(folder, 'in/0.txt'), join(folder, 'copy.txt')], cwd: folder }],
  ];
  if (context.has('ninja')) {
    const prepare = (): void => write(folder, 'build.ninja', ninjaText(count, edited, edits()));
    programs.push(['ninja', { argv: ['ninja', '--quiet'], cwd: folder, prepare }]);
  }
  if (context.has('make')) {
    write(folder, 'Makefile', makeText(count));
    await runQuietly(['make', '-r', '--silent'], folder);
    const prepare = (): void => utimesSync(join(folder, 'in', `${edited}.txt`), new Date(), new Date());
    programs.push(['make (input touched)', { argv: ['make', '-r', '--silent'], cwd: folder, prepare }]);
  }
  if (context.has('snakemake')) {
    const argv = ['snakemake', '--cores', '1', '--quiet'];
    const prepare = (): void => write(folder, 'Snakefile', snakeText(count, edited, edits()));
    prepare();
    await runQuietly(argv, folder);
    programs.push(['snakemake', { argv, cwd: folder, prepare, rounds: context.repeats }]);
  }
  return programs;
}

/** Another word every time: an earlier one would be restored from the cache. */
function counter(): () => string {
  let next = 0;
  return () => `edit-${next++}`;
}

function write(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

function each(count: number, text: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => text(i)).join('');
}

function pipelineText(count: number, edited: number, edit: string): string {
  const target = (i: number): string => `  copy-${i}:
    rule: command
    from: in/${i}.txt
    run: [cp, "{in}", "{out}"]
    out: firn/${i}.txt
    with: {version: "${i === edited ? edit : 'first'}"}
`;
  return `targets:\n${each(count, target)}`;
}

function ninjaText(count: number, edited: number, edit: string): string {
  const target = (i: number): string =>
    `build ninja/${i}.txt: copy in/${i}.txt\n  edit = ${i === edited ? edit : 'first'}\n`;
  return `rule copy\n  command = : $edit; cp $in $out\n${each(count, target)}`;
}

function makeText(count: number): string {
  const names = each(count, (i) => ` make/${i}.txt`);
  return `all:${names}\nmake/%.txt: in/%.txt\n\t@mkdir -p make\n\tcp $< $@\n`;
}

function snakeText(count: number, edited: number, edit: string): string {
  const names = each(count, (i) => `"snake/${i}.txt", `);
  const target = (i: number): string => `rule copy_${i}:
    input: "in/${i}.txt"
    output: "snake/${i}.txt"
    params: edit="${i === edited ? edit : 'first'}"
    shell: "cp {input} {output}"
`;
  return `rule all:\n    input: [${names}]\n${each(count, target)}`;
}
