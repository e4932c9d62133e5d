/**
 * A build as Markdown, for the page that GitHub shows of a job: GITHUB_STEP_SUMMARY names a file to append to, at most
 * 1 MiB a step. Names are data: they stand in `<code>`, with everything but letters and digits as character references,
 * which Markdown does not read as its own.
 */
import type { BuildSummary, Listener, StepOutcome, StepStatus } from '../engine/events.js';
import type { Json } from '../engine/types.js';
import type { WritePort } from '../files/port.js';
import { textOf } from '../system-errors.js';
import { errorText, note } from './main.js';
import { summaryLine } from './reporters/plain.js';
import { formatBytes, formatCount, formatSeconds, plural, safe } from './text.js';

/** Steps in the table; those that something happened to come first. */
const MOST_ROWS = 100;
/** Errors and warnings that are told in full, each up to so many characters. */
const MOST_MESSAGES = 20;
const MESSAGE_LENGTH = 4000;
const NAME_LENGTH = 200;

const WORDS: { [status in StepStatus]: string } = {
  failed: 'failed',
  interrupted: 'interrupted',
  skipped: 'skipped',
  ran: 'built',
  restored: 'restored',
  fresh: 'fresh',
};

type BytesOf = (step: string) => number | undefined;

/** The page of a job, to which a build adds what became of it. */
export interface JobPage {
  /** Takes warnings down. */
  listen: Listener;
  /** `bytesOf` gives the size of a step's outputs; undefined where there are none. */
  addBuild(summary: BuildSummary, bytesOf: BytesOf): Promise<void>;
  /** A build that did not begin. */
  addFailure(error: unknown): Promise<void>;
}

/** Undefined where the environment names no page. */
export function openJobPage(port: WritePort): JobPage | undefined {
  const path = process.env.GITHUB_STEP_SUMMARY;
  if (path === undefined || path === '') return undefined;
  const warnings: string[] = [];
  const add = async (parts: string[]): Promise<void> => {
    try {
      const file = await port.append(path);
      try {
        await file.write(Buffer.from(`${parts.join('\n\n')}\n\n`));
      } finally {
        await file.close();
      }
    } catch (error) {
      // What was built is built.
      note(`warning: the job summary cannot be written: ${safe(textOf(error))}`);
    }
  };
  return {
    listen(event) {
      if (event.type !== 'warning') return;
      warnings.push(event.step === undefined ? event.message : `${event.step}: ${event.message}`);
    },
    addBuild: (summary, bytesOf) => add(buildParts(summary, warnings, bytesOf)),
    addFailure: (error) => add(['### firn build failed', ...messages('', [errorText(error)])]),
  };
}

function buildParts(summary: BuildSummary, warnings: readonly string[], bytesOf: BytesOf): string[] {
  const { outcomes } = summary;
  const order = Object.keys(WORDS);
  const sorted = outcomes.toSorted((a, b) => order.indexOf(a.status) - order.indexOf(b.status));
  const rows = sorted.slice(0, MOST_ROWS).map((outcome) => row(outcome, bytesOf(outcome.id)));
  const parts = [`### firn build: ${summaryLine(summary)}`];
  if (rows.length > 0) {
    const head = '| step | state | rows | recall | size | time |\n| --- | --- | ---: | ---: | ---: | ---: |';
    parts.push([head, ...rows].join('\n'));
  }
  if (outcomes.length > MOST_ROWS) parts.push(`and ${plural(outcomes.length - MOST_ROWS, 'more step')}`);
  const errors = outcomes
    .filter((outcome) => outcome.status === 'failed')
    .map(({ id, error }) => `${id}: ${errorText(error)}`);
  return [...parts, ...messages('Failed', errors), ...messages('Warnings', warnings)];
}

function row({ id, status, seconds, stats = {} }: StepOutcome, bytes: number | undefined): string {
  const recall = stats.recall;
  const cells = [
    code(cut(id, NAME_LENGTH)),
    WORDS[status],
    typeof stats.rows === 'number' ? formatCount(stats.rows) : '',
    isNumber(recall) ? String(Number(recall.toPrecision(4))) : '',
    bytes === undefined ? '' : formatBytes(bytes),
    status === 'ran' || status === 'restored' || status === 'failed' ? formatSeconds(seconds) : '',
  ];
  return `| ${cells.join(' | ')} |`;
}

function isNumber(value: Json | undefined): value is number {
  return typeof value === 'number';
}

function messages(title: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  const shown = texts.slice(0, MOST_MESSAGES).map((text) => {
    // An empty line would end the block of HTML.
    const lines = cut(text, MESSAGE_LENGTH).replace(/\n\s*\n/g, '\n');
    return `<pre>${reference(safe(lines, true))}</pre>`;
  });
  const more = texts.length - shown.length;
  return [
    ...(title === '' ? [] : [`**${title}**`]),
    ...shown,
    ...(more > 0 ? [`and ${formatCount(more)} more`] : []),
  ];
}

function code(text: string): string {
  return `<code>${reference(safe(text))}</code>`;
}

/** Everything but letters, digits, blanks and line feeds as a character reference. */
function reference(text: string): string {
  return text.replace(/[^\p{L}\p{N} \n]/gu, (char) => `&#${char.codePointAt(0)};`);
}

function cut(text: string, length: number): string {
  const chars = [...text];
  return chars.length <= length ? text : `${chars.slice(0, length).join('')}…`;
}
