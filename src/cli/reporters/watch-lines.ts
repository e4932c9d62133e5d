/** A watch as lines: those of each build, and when what happened. On a terminal one more below, of what it waits for. */
import type { BuildEvent, BuildSummary, Listener } from '../../engine/events.js';
import type { WaitedFor, WatchEvent } from '../../watch/events.js';
import { canDraw, errorText, note } from '../main.js';
import { cutTo, formatTime, plural, safe } from '../text.js';
import { chooseReporter } from './choose.js';

/** Inputs that are told one by one; there may be hundreds. */
const TOLD = 5;

export interface WatchReporter {
  tell(event: WatchEvent): void;
  /** The watch has ended. */
  end(): void;
}

/** `directory`: the project's. */
export function watchLines(explain: boolean, directory: string): WatchReporter {
  const status = statusLine(canDraw());
  const build = buildLines(chooseReporter(explain, directory));
  const told = new Set<string>();
  let way = '';
  let waiting: WaitedFor[] = [];

  const say = (text: string): void => note(`${formatTime(new Date())} ${text}`);
  const tell = (event: WatchEvent): void => {
    switch (event.type) {
      case 'watching':
        way = wayText(event);
        say(`${way}; Ctrl-C ends it`);
        break;
      case 'waiting':
        waiting = event.inputs;
        tellWaiting(event.inputs, told, say);
        break;
      case 'locked':
        say(`waiting for ${safe(event.holder)} to finish`);
        break;
      case 'problem':
        say(`firn: ${errorText(event.error)}`);
        note(
          event.goesOn
            ? '  Until that is mended, the pipeline stays in use as it was before.'
            : '  Nothing is built until that changes.',
        );
        break;
      case 'mended':
        say('the problem is gone');
        break;
      case 'warning':
        note(`warning: ${safe(event.message)}`);
        break;
      case 'build':
        build(event.event);
        break;
      case 'idle':
        status.draw(statusText(way, waiting, event.failing));
        return;
    }
  };
  return {
    tell(event) {
      // What a build draws takes its place, and most events print nothing.
      if (event.type !== 'build' || shows(event.event)) status.erase();
      tell(event);
    },
    end: () => status.erase(),
  };
}

function wayText(event: Extract<WatchEvent, { type: 'watching' }>): string {
  if (event.how === 'events') return `watching ${plural(event.folders, 'folder')}`;
  const interval = `looking every ${plural(event.seconds, 'second')}`;
  return event.why === undefined ? interval : `${interval}, since ${safe(event.why)}`;
}

/** Those that lack something, each once; the others will be ready in a moment. */
function tellWaiting(inputs: readonly WaitedFor[], told: Set<string>, say: (text: string) => void): void {
  const names = new Set(inputs.map(({ name }) => name));
  for (const name of told) if (!names.has(name)) told.delete(name);
  const untold = inputs.filter(({ name, missing }) => missing !== undefined && !told.has(name));
  for (const { name, missing } of untold.slice(0, TOLD))
    say(`waiting for ${safe(name)} to be complete: ${safe(missing ?? '')}`);
  if (untold.length > TOLD) say(`waiting for ${untold.length - TOLD} more to be complete`);
  for (const { name } of untold) told.add(name);
}

function statusText(way: string, waiting: readonly WaitedFor[], failing: readonly string[]): string {
  const parts = [way === '' ? 'idle' : way];
  if (waiting.length > 0) {
    const { name, missing } = waiting.find((input) => input.missing !== undefined) ?? waiting[0];
    const more = waiting.length > 1 ? ` and ${waiting.length - 1} more` : '';
    parts.push(`waiting for ${safe(name)}${missing === undefined ? '' : ` (${safe(missing)})`}${more}`);
  }
  if (failing.length > 0)
    parts.push(`${plural(failing.length, 'step')} failing: ${safe(failing.join(', '))}`);
  return parts.join('; ');
}

/** The lines of each build that did something, and of the first; what was skipped is told once for each reason. */
function buildLines(tell: Listener): Listener {
  /** Reasons that were told, by step. */
  const told = new Map<string, string>();
  /** What was skipped in this build, which is told if it does something. */
  let skipped: { event: BuildEvent; id: string; why: string }[] = [];
  let isFirst = true;
  let isNamed = false;
  const tellAll = (event: BuildEvent): void => {
    if (!isNamed && !isFirst) note(`${formatTime(new Date())} building`);
    isNamed = true;
    for (const { event, id, why } of skipped) {
      tell(event);
      told.set(id, why);
    }
    skipped = [];
    tell(event);
  };
  return (event) => {
    switch (event.type) {
      case 'begin':
        isNamed = false;
        skipped = [];
        tell(event);
        return;
      case 'hashing':
      case 'progress':
        tell(event);
        return;
      case 'finish': {
        const { id, status, reasons } = event.outcome;
        if (status === 'skipped') {
          // That it failed was told when it did.
          const why = reasons.map(({ code, text }) => (code === 'failed' ? '' : text)).join();
          if (why !== '' && told.get(id) !== why) skipped.push({ event, id, why });
          return;
        }
        told.delete(id);
        if (status === 'fresh') tell(event);
        else tellAll(event);
        return;
      }
      case 'end':
        if (isFirst || isNews(event.summary)) tellAll(event);
        isFirst = false;
        return;
      default:
        tellAll(event);
    }
  };
}

/** Whether the lines of a build say more than that there was nothing to do. */
export function isNews({ ran, restored, failed, interrupted }: BuildSummary): boolean {
  return ran + restored + failed + interrupted > 0;
}

/** Whether a reporter prints or draws something for it. */
function shows(event: BuildEvent): boolean {
  return event.type !== 'begin' && !(event.type === 'finish' && event.outcome.status === 'fresh');
}

/** A line that is drawn over; none where `isShown` is false. */
function statusLine(isShown: boolean): { draw(text: string): void; erase(): void } {
  let isDrawn = false;
  const erase = (): void => {
    if (isDrawn) process.stderr.write('\r\u001b[2K');
    isDrawn = false;
  };
  return {
    draw(text) {
      if (!isShown) return;
      // Also what the last build may have drawn.
      process.stderr.write(`\r\u001b[2K${cutTo(text, (process.stderr.columns || 80) - 1)}`);
      isDrawn = true;
    },
    erase,
  };
}
