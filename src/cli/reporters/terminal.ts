/** A build on a terminal: the plain reporter's lines of what has ended, and below them one line of what runs, redrawn. */
import type { BuildEvent, Listener } from '../../engine/events.js';
import { cutTo, formatBytes, formatCount, formatSeconds, safe } from '../text.js';

const REDRAW_MS = 100;
/** What is drawn below this share of a step is too early to tell the time left from. */
const EARLY = 0.02;

interface Running {
  began: number;
  done: number;
  total: number;
  unit: string;
}

export function terminalReporter(plain: Listener): Listener {
  const running = new Map<string, Running>();
  let finished = 0;
  let steps = 0;
  let hashed = 0;
  let drawnAt = 0;
  let drawn = false;

  const erase = (): void => {
    if (drawn) process.stderr.write('\r\u001b[2K');
    drawn = false;
  };
  const draw = (): void => {
    const now = performance.now();
    if (now - drawnAt < REDRAW_MS) return;
    drawnAt = now;
    const width = (process.stderr.columns || 80) - 1;
    const parts = [...running].map(([id, step]) => `${safe(id)} ${progressText(step, now)}`.trimEnd());
    if (parts.length === 0 && hashed > 0) parts.push(`checking inputs, ${formatBytes(hashed)} read`);
    process.stderr.write(`\r\u001b[2K${cutTo(`[${finished}/${steps}] ${parts.join(' | ')}`, width)}`);
    drawn = true;
  };

  return (event: BuildEvent) => {
    switch (event.type) {
      case 'begin':
        // One reporter shows all builds of a watch.
        steps = event.steps;
        finished = 0;
        hashed = 0;
        return;
      case 'hashing':
        hashed += event.bytes;
        draw();
        return;
      case 'progress': {
        const step = running.get(event.step);
        if (step === undefined) return;
        // Another unit is another phase, with a clock of its own.
        if (step.unit !== event.unit) step.began = performance.now();
        Object.assign(step, { done: event.done, total: event.total, unit: event.unit });
        draw();
        return;
      }
      case 'start':
        running.set(event.step, { began: performance.now(), done: 0, total: 0, unit: '' });
        draw();
        return;
      case 'finish':
        running.delete(event.outcome.id);
        finished = event.finished;
        break;
      default:
        break;
    }
    erase();
    plain(event);
  };
}

function progressText(step: Running, now: number): string {
  if (step.total <= 0) return '';
  const share = Math.min(1, step.done / step.total);
  const seconds = (now - step.began) / 1000;
  const percent = `${Math.floor(share * 100)}% ${safe(step.unit)}`;
  if (share < EARLY || seconds < 0.5) return percent;
  const perSecond = step.done / seconds;
  const rate =
    step.unit === 'bytes'
      ? formatBytes(perSecond)
      : `${formatCount(Math.round(perSecond))} ${safe(step.unit)}`;
  return `${percent}, ${rate}/s, ${formatSeconds(((1 - share) / share) * seconds)} left`;
}
