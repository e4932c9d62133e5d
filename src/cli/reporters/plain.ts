/** A build as lines, for logs and pipes: one line when a step starts, one when it ends. Messages to standard error. */
import type { BuildEvent, BuildSummary, Listener, StepOutcome } from '../../engine/events.js';
import type { Json } from '../../engine/types.js';
import { whyText } from '../build.js';
import { errorText, note, print } from '../main.js';
import { formatBytes, formatCount, formatSeconds, plural, safe } from '../text.js';

export function plainReporter(explain: boolean): Listener {
  return (event) => {
    const line = lineOf(event, explain);
    if (line !== undefined) note(line);
    if (event.type === 'end') print(summaryLine(event.summary));
  };
}

/** The message for an event; undefined for those that are not worth a line, and for the end, which is a result. */
export function lineOf(event: BuildEvent, explain: boolean): string | undefined {
  switch (event.type) {
    case 'waiting':
      return `waiting for ${safe(event.holder)} to finish`;
    case 'start':
      return `${event.restore ? 'restore' : 'run'} ${safe(event.step)}: ${whyText(event, explain)}`;
    case 'log':
      return `  ${safe(event.step)}| ${safe(event.line)}`;
    case 'warning':
      return `warning: ${event.step === undefined ? '' : `${safe(event.step)}: `}${safe(event.message)}`;
    case 'finish':
      return finishLine(event.outcome, event.finished, event.steps);
    default:
      return undefined;
  }
}

function finishLine(outcome: StepOutcome, finished: number, steps: number): string | undefined {
  const head = `[${finished}/${steps}]`;
  const id = safe(outcome.id);
  switch (outcome.status) {
    case 'ran':
    case 'restored':
      return `${head} ${outcome.status === 'ran' ? 'built' : 'restored'} ${id} in ${formatSeconds(outcome.seconds)}${statsText(outcome.stats)}`;
    case 'failed':
      return `${head} FAILED ${id}: ${errorText(outcome.error)}`;
    case 'interrupted':
      return `${head} interrupted ${id}`;
    case 'skipped':
      return `${head} skipped ${id}: ${whyText(outcome, false)}`;
    default:
      return undefined;
  }
}

/** The few facts worth a place on the line. */
function statsText(stats: { [name: string]: Json } | undefined): string {
  const text = statsOf(stats);
  return text === '' ? '' : ` (${text})`;
}

/** What a step said of itself, for people: its numbers and words. */
export function statsOf(stats: { [name: string]: Json } | null | undefined): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(stats ?? {})) {
    if (typeof value === 'number') parts.push(`${name} ${showNumber(name, value)}`);
    else if (typeof value === 'string') parts.push(`${name} ${safe(value)}`);
  }
  return parts.join(', ');
}

function showNumber(name: string, value: number): string {
  if (/bytes$/i.test(name)) return formatBytes(value);
  return Number.isInteger(value) ? formatCount(value) : String(Number(value.toPrecision(4)));
}

export function summaryLine(summary: BuildSummary): string {
  const total = summary.outcomes.length;
  const time = formatSeconds(summary.seconds);
  if (summary.fresh === total) return `nothing to do: ${plural(total, 'step')} fresh (${time})`;
  const parts: string[] = [];
  for (const [word, count] of [
    ['built', summary.ran],
    ['restored', summary.restored],
    ['fresh', summary.fresh],
    ['failed', summary.failed],
    ['interrupted', summary.interrupted],
    ['skipped', summary.skipped],
  ] as const) {
    if (count > 0) parts.push(`${count} ${word}`);
  }
  return `${plural(total, 'step')}: ${parts.join(', ')} (${time})`;
}
