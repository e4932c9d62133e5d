/** The public API is what was agreed on: names and signatures stand in test/fixtures/public-api.txt. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { API_FILE, publicApi } from '../scripts/public-api.js';
import * as firn from '../src/index.js';

const test = suite('public api');

const { text, hidden, undocumented } = publicApi();

test('names and signatures are those that were written down; `npm run api` writes down a change that is meant', () => {
  assert.fixture(text, readFileSync(API_FILE, 'utf8'));
});

test('the names that exist at run time are those declared as values', () => {
  const values = [...text.matchAll(/^(?:class|function|const) (\w+)/gm)].map(([, name]) => name);
  assert.equal(Object.keys(firn).sort(), values.sort());
});

test('every type that a signature mentions can be imported', () => {
  assert.equal(hidden, []);
});

test('everything public has a docstring', () => {
  assert.equal(undocumented, []);
});

test.run();
