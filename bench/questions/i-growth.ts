/** Question i: how time and memory grow with the collection. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Collection, INDEX } from '../collection.js';
import { inTurn } from '../measure.js';
import { type Question, type Row, rowOf } from '../question.js';
import { atMost, mebibytes, megabytes, times } from '../verdict.js';

export const question: Question = {
  id: 'i',
  title: 'Growth: one, two and four million rows',
  goal: 'a row costs no more time at any size, and memory stays within 512 MiB',
  method: `\`firn build\` from nothing as in (a), with 40, 80 and 160 runs of 25,000 x 256 float32: one run each. The number of
lists grows with the square root of the rows, and with it the work for each row.`,
  async run({ data, sizes, python, say }) {
    const rows: Row[] = [];
    const perRow: number[] = [];
    for (const runs of sizes.growthRuns) {
      say(`${runs} runs`);
      const collection = new Collection(data, runs, python, `growth-${runs}`);
      collection.remove();
      try {
        await collection.prepare();
        const [measured] = await inTurn([collection.firnFromNothing()], 1);
        const count = runs * sizes.rows;
        perRow.push(measured.seconds.median / count);
        const figures = {
          'a row': `${(perRow[perRow.length - 1] * 1e6).toFixed(1)} µs`,
          index: megabytes(statSync(join(collection.reference, INDEX)).size),
          steps: stepsOf(measured.outputs[0]),
        };
        rows.push(rowOf('firn', measured, { group: `${count.toLocaleString('en')} rows`, figures }));
      } finally {
        collection.remove();
      }
    }
    const peak = Math.max(...rows.map(({ memory }) => memory?.max ?? Number.NaN));
    return {
      rows,
      verdicts: [
        atMost('time of a row, beside that at the smallest size', Math.max(...perRow) / perRow[0], 1, times),
        atMost('memory at any size', Number.isNaN(peak) ? undefined : peak, 512, mebibytes),
      ],
      notes: [],
    };
  },
};

function stepsOf(printed: string): string {
  const { steps } = JSON.parse(printed) as { steps: { id: string; seconds: number }[] };
  return steps.map(({ id, seconds }) => `${id.split(':')[0]} ${seconds.toFixed(1)} s`).join(', ');
}
