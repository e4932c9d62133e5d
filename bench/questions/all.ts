/** The questions of the suite, in their order. */
import type { Question } from '../question.js';
import { question as a } from './a-build.js';
import { question as b } from './b-ivf.js';
import { question as c } from './c-append.js';
import { question as d } from './d-nothing.js';
import { question as e } from './e-search.js';
import { question as f } from './f-exact.js';
import { question as g } from './g-compress.js';
import { question as h } from './h-digest.js';
import { question as i } from './i-growth.js';
import { question as j } from './j-edit.js';

export const questions: readonly Question[] = [a, b, c, d, e, f, g, h, i, j];
