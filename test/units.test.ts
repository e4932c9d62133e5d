/** Sizes and counts as people read them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBytes, formatCount, plural } from '../src/units.js';

const test = suite('units');

test('a size has the unit that suits what is shown of it', () => {
  const cases: [bytes: number, text: string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [99_949, '99.9 kB'],
    [99_960, '100 kB'],
    [999_499, '999 kB'],
    [999_999, '1.0 MB'],
    [1_500_000_000, '1.5 GB'],
    [999_960_000_000, '1.0 TB'],
    [2e15, '2.0 PB'],
    [2e18, '2000 PB'],
  ];
  for (const [bytes, text] of cases) assert.is(formatBytes(bytes), text, String(bytes));
});

test('counts have commas, and words their number', () => {
  assert.equal([0, 999, 1000, 1_234_567].map(formatCount), ['0', '999', '1,000', '1,234,567']);
  assert.equal([plural(0, 'run'), plural(1, 'run'), plural(2000, 'run')], ['0 runs', '1 run', '2,000 runs']);
});

test.run();
