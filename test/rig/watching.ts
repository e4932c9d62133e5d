/** A `firn watch --json` that runs while the test changes things. What it tells is waited for, never the clock. */
import type { Finished, Running, TestProject } from './project.js';

/** One line of its output. */
export interface Told {
  type: string;
  how?: 'events' | 'polling';
  why?: string;
  folders?: number;
  holder?: string;
  error?: string;
  goesOn?: boolean;
  message?: string;
  failing?: string[];
  inputs?: { name: string; missing?: string }[];
  event?: {
    type: string;
    /** Of start, log and warning. */
    step?: string;
    message?: string;
    /** Of finish. */
    id?: string;
    status?: string;
    reason?: string;
    error?: string;
    ran?: number;
    failed?: number;
    steps?: { id: string; status: string; reason: string }[];
  };
}

export class Watching {
  readonly told: Told[] = [];
  readonly running: Running;
  private at = 0;
  private ended: Finished | undefined;
  private wake: () => void = () => undefined;

  constructor(project: TestProject, ...args: string[]) {
    this.running = project.start('watch', '--json', '--settle', '0.1', ...args);
    let rest = '';
    this.running.child.stdout?.on('data', (chunk) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      this.told.push(...lines.map((line) => JSON.parse(line) as Told));
      this.wake();
    });
    void this.running.finished.then((finished) => {
      this.ended = finished;
      this.wake();
    });
  }

  /** The next event for which this holds, after the last one that was waited for. */
  async next(what: string, holds: (told: Told) => boolean): Promise<Told> {
    for (;;) {
      while (this.at < this.told.length) {
        const told = this.told[this.at++];
        if (holds(told)) return told;
      }
      if (this.ended !== undefined) {
        const { code, stdout, stderr } = this.ended;
        throw new Error(`firn watch ended (${code}) before ${what}:\n${stdout}\n${stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  idle(): Promise<Told> {
    return this.next('it was idle', ({ type }) => type === 'idle');
  }

  /** The end of a build in which this step had this status. */
  built(step: string, status = 'ran'): Promise<Told> {
    return this.next(
      `${step} ${status}`,
      ({ event }) =>
        event?.type === 'end' && (event.steps ?? []).some((one) => one.id === step && one.status === status),
    );
  }

  waitsFor(name: string): Promise<Told> {
    return this.next(`it waits for ${name}`, ({ inputs = [] }) =>
      inputs.some((input) => input.name === name),
    );
  }

  /** Builds that did something, or failed to. */
  get builds(): Told[] {
    return this.told.filter(({ event }) => event?.type === 'end');
  }

  /** How often a step had this status. */
  count(step: string, status = 'ran'): number {
    return this.told.filter(
      ({ event }) => event?.type === 'finish' && event.id === step && event.status === status,
    ).length;
  }

  /** Ctrl-C. */
  stop(): Promise<Finished> {
    this.running.child.kill('SIGINT');
    return this.running.finished;
  }
}
