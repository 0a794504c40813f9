import { describe, expect, it } from "vitest";
import type { Job } from "../api/types";
import { Loading, Newest } from "./loading.svelte";

/** A question whose answer comes when the test says so. */
function later<T>() {
  let answer!: (value: T) => void;
  let fail!: (error: unknown) => void;
  const promise = new Promise<T>((resolve, reject) => ([answer, fail] = [resolve, reject]));
  return { promise, answer, fail };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));
const JOB = { id: "1" } as unknown as Job;

describe("Loading", () => {
  it("shows the job, then the answer", async () => {
    const [loading, one] = [new Loading<number>(), later<number>()];
    loading.ask(({ onJob }) => (onJob(JOB), one.promise));
    expect([loading.busy, loading.job, loading.value]).toEqual([true, JOB, null]);
    one.answer(7);
    await settled();
    expect([loading.busy, loading.job, loading.value]).toEqual([false, null, 7]);
  });

  it("gives up the older question, whose answer counts no more", async () => {
    const [loading, old, young] = [new Loading<number>(), later<number>(), later<number>()];
    let signal!: AbortSignal;
    loading.ask((ask) => ((signal = ask.signal), old.promise));
    loading.ask(() => young.promise);
    expect(signal.aborted).toBe(true);
    young.answer(2);
    await settled();
    old.answer(1);
    await settled();
    expect(loading.value).toBe(2);
  });

  it("keeps the old value until the new one is there only if asked to", async () => {
    const loading = new Loading<number>();
    loading.ask(async () => 1);
    await settled();
    loading.ask(() => later<number>().promise, { keep: true });
    expect(loading.value).toBe(1);
    loading.ask(() => later<number>().promise);
    expect(loading.value).toBe(null);
  });

  it("shows what went wrong in place of the value, but not that it was given up", async () => {
    const loading = new Loading<number>();
    loading.ask(async () => 1);
    await settled();
    loading.ask(async () => Promise.reject(new Error("no model")), { keep: true });
    await settled();
    expect([loading.value, loading.error?.message, loading.busy]).toEqual([null, "no model", false]);
    loading.ask(async () => Promise.reject(new DOMException("", "AbortError")));
    await settled();
    expect([loading.error, loading.busy]).toEqual([null, false]);
  });

  it("returns what gives up this question and no later one", () => {
    const loading = new Loading<number>();
    const giveUp = loading.ask(() => later<number>().promise);
    loading.ask(() => later<number>().promise);
    giveUp();
    expect(loading.busy).toBe(true);
    loading.stop();
    expect(loading.busy).toBe(false);
  });
});

describe("Newest", () => {
  it("asks one question at a time, and of those that wait the last", async () => {
    const [newest, first] = [new Newest<number>(), later<number>()];
    const asked: number[] = [];
    void newest.ask(() => (asked.push(1), first.promise));
    void newest.ask(async () => (asked.push(2), 2));
    void newest.ask(async () => (asked.push(3), 3));
    first.answer(1);
    await settled();
    expect([asked, newest.value]).toEqual([[1, 3], 3]);
  });
});
