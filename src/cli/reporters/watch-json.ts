/** A watch as JSON, one event a line, for programs. Of builds only what happens: neither progress nor fresh steps. */
import type { BuildEvent } from '../../engine/events.js';
import { textOf } from '../../system-errors.js';
import type { WatchEvent } from '../../watch/events.js';
import { outcomeJson } from '../build.js';
import { printJson } from '../main.js';
import { isNews, type WatchReporter } from './watch-lines.js';

export function watchJson(): WatchReporter {
  let isFirst = true;
  /** Whether anything was told since it was last idle. */
  let isNew = true;
  const line = (value: object): void => {
    isNew = true;
    printJson({ time: new Date().toISOString(), ...value }, 0);
  };
  return {
    tell(event: WatchEvent) {
      switch (event.type) {
        case 'build': {
          if (event.event.type === 'end') {
            if (!isFirst && !isNews(event.event.summary)) return;
            isFirst = false;
          }
          const shown = eventJson(event.event);
          if (shown !== undefined) line({ type: 'build', event: shown });
          return;
        }
        case 'problem':
          line({ type: event.type, error: textOf(event.error), goesOn: event.goesOn });
          return;
        case 'idle':
          if (isNew) line(event);
          isNew = false;
          return;
        default:
          line(event);
      }
    },
    end: () => undefined,
  };
}

function eventJson(event: BuildEvent): object | undefined {
  switch (event.type) {
    case 'begin':
    case 'hashing':
    case 'progress':
      return undefined;
    case 'finish': {
      const { outcome, finished, steps } = event;
      // What is left alone stays so in every build.
      if (outcome.status === 'fresh' || outcome.status === 'skipped') return undefined;
      return { type: event.type, ...outcomeJson(outcome), finished, steps };
    }
    case 'end': {
      const { outcomes, ...counts } = event.summary;
      const told = outcomes.filter(({ status }) => status !== 'fresh');
      return { type: event.type, ...counts, steps: told.map(outcomeJson) };
    }
    default:
      return event;
  }
}
