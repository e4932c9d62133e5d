/** Question d: nothing to do. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PIPELINE, settle } from '../collection.js';
import { addTinyRuns } from '../data.js';
import { expectPrinted, type Program, runQuietly, shortInTurn } from '../measure.js';
import { firn } from '../programs.js';
import { type Context, type Question, type Row, rowOf } from '../question.js';
import type { Tool } from '../tools.js';
import { atMost, times } from '../verdict.js';

const NODE = 'node -e 0';
/** Times of milliseconds are measured more often than others. */
const MORE_ROUNDS = 4;

export const question: Question = {
  id: 'd',
  title: 'Nothing to do',
  goal: '1.5 times what Node.js takes to start at 40 runs, 6 times at 10,000, and no more than linear growth',
  method: `Runs of 4 x 8 values, joined into a reference with its index; everything is built, and \`firn build\` is typed again.
Beside it \`node -e 0\`, and ninja, make and (at 40 runs) snakemake with one target that depends on the array of every run.
They look at dates only; firn compares what it remembers of the contents. Make is told to forget its built-in rules (\`-r\`),
which makes it faster. One run of each to warm up, then twenty (four times the repeats) of firn, Node.js, ninja and make,
and five of snakemake.`,
  async run(context) {
    const rows: Row[] = [];
    for (const [i, runs] of context.sizes.idleRuns.entries()) {
      rows.push(...(await rowsFor(context, runs, i === 0)));
    }
    const [few, ...more] = context.sizes.idleRuns;
    const many = more[more.length - 1];
    const ratio = (runs: number): number => timeOf(rows, runs, 'firn') / timeOf(rows, runs, NODE);
    // What one more run costs: the start of firn is left out.
    const start = timeOf(rows, few, 'firn');
    const each = (runs: number): number => (timeOf(rows, runs, 'firn') - start) / (runs - few);
    const growth = each(many) / each(more[0]);
    return {
      rows,
      verdicts: [
        atMost(`time at ${few} runs, beside ${NODE}`, ratio(few), 1.5, times),
        atMost(`time at ${many} runs, beside ${NODE}`, ratio(many), 6, times),
        atMost(`time of each run beyond ${few}, at ${many} runs beside ${more[0]}`, growth, 1.2, times),
      ],
      notes: [],
    };
  },
};

function groupOf(runs: number): string {
  return `${runs.toLocaleString('en')} runs`;
}

function timeOf(rows: Row[], runs: number, who: string): number {
  return rows.find((row) => row.group === groupOf(runs) && row.who === who)!.seconds.median;
}

async function rowsFor(context: Context, runs: number, withSlow: boolean): Promise<Row[]> {
  const project = context.folder(`idle-${runs}`);
  writeFileSync(join(project, 'pipeline.yaml'), PIPELINE);
  const inputs = addTinyRuns(project, runs);
  await runQuietly(firn('build'), project);
  await settle(project);
  const programs: [string, Program][] = [
    ['firn', { argv: firn('build'), cwd: project }],
    [NODE, { argv: [process.execPath, '-e', '0'], cwd: project }],
  ];
  for (const { tool, file, text, argv, rounds } of peers(context, inputs)) {
    if ((rounds !== undefined && !withSlow) || !context.has(tool)) continue;
    const folder = join(project, `${tool}-project`);
    mkdirSync(folder);
    writeFileSync(join(folder, file), text);
    await runQuietly(argv, folder);
    programs.push([tool, { argv, cwd: folder, ...(rounds === undefined ? {} : { rounds }) }]);
  }
  const measured = await shortInTurn(
    programs.map(([, program]) => program),
    context.repeats * MORE_ROUNDS,
  );
  expectPrinted(measured[0], 'nothing to do');
  return programs.map(([who], i) => rowOf(who, measured[i], { group: groupOf(runs) }));
}

interface Peer {
  tool: Tool;
  file: string;
  text: string;
  argv: string[];
  /** Given for slow ones. */
  rounds?: number;
}

function peers({ repeats }: Context, inputs: string[]): Peer[] {
  const paths = inputs.map((path) => `../${path}`);
  const ninja = `rule touch\n  command = touch $out\nbuild out: touch $\n  ${paths.join(' $\n  ')}\n`;
  const make = `out: \\\n ${paths.join(' \\\n ')}\n\ttouch $@\n`;
  const list = JSON.stringify(paths);
  const snakemake = `rule all:\n    input: ${list}\n    output: "out"\n    shell: "touch {output}"\n`;
  return [
    { tool: 'ninja', file: 'build.ninja', text: ninja, argv: ['ninja', '--quiet'] },
    { tool: 'make', file: 'Makefile', text: make, argv: ['make', '-r', '--silent'] },
    {
      tool: 'snakemake',
      file: 'Snakefile',
      text: snakemake,
      argv: ['snakemake', '--cores', '1', '--quiet'],
      rounds: repeats,
    },
  ];
}
