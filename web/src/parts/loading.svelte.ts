/** Answers that take a while: the value, the job it waits for, what went wrong. The latest question wins. */
import { isAbort, type Options } from "../api/client";
import type { Job } from "../api/types";

type Ask = { signal: AbortSignal; onJob: (job: Job) => void };

/** One answer: a new question gives up the one before. */
export class Loading<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<Error | null>(null);
  job = $state.raw<Job | null>(null);
  busy = $state(false);
  private controller: AbortController | null = null;

  /**
   * Ask, and give up what was asked before.
   *
   * @param keep Whether the old value stays until the new one is there.
   * @returns What gives this question up, as an effect does; a later question is left alone.
   */
  ask(work: (ask: Ask) => Promise<T>, { keep = false } = {}): () => void {
    this.stop();
    const controller = (this.controller = new AbortController());
    if (!keep) this.value = null;
    this.error = null;
    this.busy = true;
    void this.follow(work, controller);
    return () => this.controller === controller && this.stop();
  }

  /** Ask no longer; what is there stays. */
  stop = (): void => {
    this.controller?.abort();
    this.rest();
  };

  /** Ask no longer, and forget the answer. */
  clear(): void {
    this.stop();
    this.value = null;
    this.error = null;
  }

  private async follow(work: (ask: Ask) => Promise<T>, controller: AbortController): Promise<void> {
    const { signal } = controller;
    const current = () => this.controller === controller;
    try {
      const value = await work({ signal, onJob: (job) => current() && (this.job = job) });
      if (current()) this.value = value;
    } catch (error) {
      if (!current() || isAbort(error)) return;
      this.value = null;
      this.error = error instanceof Error ? error : new Error(String(error));
    } finally {
      if (current()) this.rest();
    }
  }

  private rest(): void {
    this.controller = null;
    this.job = null;
    this.busy = false;
  }
}

/** Answers to a hand that moves: one question at a time, and of those that wait only the last is asked. */
export class Newest<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<Error | null>(null);
  private busy = false;
  private next: ((options: Options) => Promise<T>) | null = null;
  private round = 0;

  async ask(work: (options: Options) => Promise<T>): Promise<void> {
    this.next = work;
    if (this.busy) return;
    this.busy = true;
    while (this.next) {
      const { next: current, round } = this;
      this.next = null;
      try {
        const value = await current({});
        if (round === this.round) [this.value, this.error] = [value, null];
      } catch (error) {
        if (round === this.round) this.error = error as Error;
      }
    }
    this.busy = false;
  }

  /** Forget the answer, and those that are still to come. */
  clear(): void {
    this.round += 1;
    this.next = null;
    this.value = null;
    this.error = null;
  }
}
