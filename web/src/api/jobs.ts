/** The server's work that this page waits for: cancelled once none of its requests wants it any more. */
import type { Job } from "./types";

/** The name of this page, by which the server tells who still wants a job. */
export const PAGE = { "X-Page": Math.random().toString(36).slice(2) };

const watchers = new Map<string, number>();

/** Count a request that waits for a job, once; `before` is the job it waited for so far. */
export function watchJob(before: Job | null, job: Job): Job {
  if (before?.id !== job.id) {
    leaveJob(before, false);
    watchers.set(job.id, (watchers.get(job.id) ?? 0) + 1);
  }
  return job;
}

/** A request no longer waits; the last one that was aborted cancels the job at once. */
export function leaveJob(job: Job | null, aborted: boolean): null {
  if (!job) return null;
  const left = (watchers.get(job.id) ?? 1) - 1;
  if (left > 0) watchers.set(job.id, left);
  else {
    watchers.delete(job.id);
    if (aborted) void fetch(`api/jobs/${encodeURIComponent(job.id)}`, { method: "DELETE", headers: PAGE }).catch(() => undefined);
  }
  return null;
}
