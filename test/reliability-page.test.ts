/** docs/reliability.md names tests that exist, and every file that tests faults. */
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('the page on reliability');

const page = readFileSync('docs/reliability.md', 'utf8');

interface Cited {
  file: string;
  /** In the words of the test, or the beginning or end of them. */
  names: string[];
}

/** Of a cell such as "[two-builds](../test/two-builds.test.ts): `the second waits`, `...`; [...](...): `...`". */
function citedIn(cell: string): Cited[] {
  return cell.split(/;\s*(?=\[)/).map((part) => {
    const found = /^\[([^\]]+)\]\(\.\.\/test\/([^)]+\.test\.ts)\): (.+)$/.exec(part.trim());
    assert.ok(found, `not a file and its tests: ${part}`);
    const [, label, file, list] = found;
    assert.is(`${label}.test.ts`, file);
    const names = [...list.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
    assert.is(list.replace(/`[^`]+`/g, '').replace(/[, ]/g, ''), '', `more than names of tests: ${list}`);
    return { file, names };
  });
}

/** The text in which a test of that file is named, without what is put in when it runs. */
function namesIn(file: string): string[] {
  const text = readFileSync(`test/${file}`, 'utf8');
  const literal = /'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g;
  return [...text.matchAll(literal)].flatMap(([, plain, template]) =>
    (plain ?? template)
      .replaceAll("\\'", "'")
      .replaceAll('\\`', '`')
      .split(/\$\{[^}]*\}/),
  );
}

const section = /\n## Faults\n([\s\S]*?)\n## /.exec(page)?.[1] ?? '';
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .slice(2);

test('every row of the table of faults names tests that exist', () => {
  assert.ok(rows.length >= 30, `${rows.length} rows`);
  for (const row of rows) {
    const cells = row.slice(2, -2).split(' | ');
    assert.is(cells.length, 3, row);
    const cited = citedIn(cells[2]);
    for (const { file, names } of cited) {
      const known = namesIn(file);
      assert.ok(names.length > 0, row);
      for (const name of names) {
        const exists = known.some(
          (text) => text.trim() === name || (name.length >= 20 && text.includes(name)),
        );
        assert.ok(exists, `there is no test "${name}" in test/${file}`);
      }
    }
  }
});

test('every file of fault tests stands on the page', () => {
  const files = readdirSync('test').filter((name) => /fault|signals|lock-races|no-way-around/.test(name));
  for (const file of files.filter((name) => name.endsWith('.test.ts')))
    assert.ok(page.includes(`../test/${file}`), `${file} is not named in docs/reliability.md`);
});

test('every fault that the rig knows is explained', async () => {
  const { MODES } = await import('./rig/faults.js');
  for (const mode of MODES) assert.ok(page.includes(`| \`${mode}\` |`), mode);
});

test.run();
