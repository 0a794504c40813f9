/** One question at a time: the answer to the latest is what counts, and an older one is given up. */

import type { Job } from "../api/types";

export type Work<T> = (signal: AbortSignal, onJob: (job: Job) => void) => Promise<T>;

/** Holds the latest answer, and how the request for it stands. */
export class Latest<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<Error | null>(null);
  job = $state.raw<Job | null>(null);
  busy = $state(false);
  private controller: AbortController | null = null;

  /**
   * Asks, and gives up what was asked before.
   *
   * @param keep Whether the old value stays until the new one is there.
   * @returns What to call when the answer is no longer wanted, as an effect does.
   */
  ask(work: Work<T>, { keep = false } = {}): () => void {
    this.controller?.abort();
    const controller = (this.controller = new AbortController());
    if (!keep) this.value = null;
    this.error = this.job = null;
    this.busy = true;
    void this.follow(work, controller);
    return () => controller.abort();
  }

  /** Forgets the answer and gives up what is asked. */
  clear(): void {
    this.controller?.abort();
    this.value = this.error = this.job = null;
    this.busy = false;
  }

  cancel(): void {
    this.controller?.abort();
    this.busy = false;
    this.job = null;
  }

  private async follow(work: Work<T>, controller: AbortController): Promise<void> {
    const current = () => this.controller === controller && !controller.signal.aborted;
    try {
      const value = await work(controller.signal, (job) => current() && (this.job = job));
      if (current()) this.value = value;
    } catch (error) {
      if (current()) [this.error, this.value] = [error instanceof Error ? error : new Error(String(error)), null];
    } finally {
      if (current()) [this.busy, this.job] = [false, null];
    }
  }
}
