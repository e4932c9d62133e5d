/** Sleep that ends at a time, or some time after a sign of a change, or when there is a reason to end at all. */

/** Node takes longer times for none. */
const LONGEST_MS = 2 ** 31 - 1;

export class Alarm {
  private hinted = false;
  private wake: (() => void) | undefined;

  constructor(
    private readonly clock: () => number,
    private readonly signal: AbortSignal,
  ) {}

  /** A sign of a change; remembered until the next sleep ends. */
  hint(): void {
    this.hinted = true;
    this.wake?.();
  }

  get isHinted(): boolean {
    return this.hinted;
  }

  /** Until `time` of the clock, at most `afterHint` ms after a sign of a change, and no longer than the signal lets. */
  async sleep(time: number, afterHint: number): Promise<void> {
    if (!this.hinted) await this.pause(time);
    if (this.hinted) await this.pause(Math.min(time, this.clock() + afterHint));
    this.hinted = false;
  }

  private async pause(time: number): Promise<void> {
    if (this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', end);
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, Math.min(LONGEST_MS, Math.max(0, Math.ceil(time - this.clock()))));
      this.signal.addEventListener('abort', end);
      // Once there was a sign, more of them say nothing new.
      if (!this.hinted) this.wake = end;
    });
  }
}
