// The job of this page and the pictures that are there to look at.
import { api, link } from '../api/client';
import { Failure, jobFailure } from '../api/failure';
import type { Job, JobRequest } from '../api/types';
import { cutOf } from './cut';
import { count } from './format';
import { follow, isFinal, type Change } from './follow';
import { describe, type Result } from './result';

export interface LiveJob extends Job {
  connected: boolean;
  /** The user asked for its end. */
  stopping: boolean;
  /** The batch that the user ended before its time, from 0. */
  hurried: number | null;
}

const CURRENT_KEY = 'impasto.job';
const SESSION_KEY = 'impasto.session';

export class Jobs {
  live = $state<LiveJob | null>(null);
  /** Newest first. */
  results = $state<Result[]>([]);
  selectedKey = $state<string | null>(null);
  failure = $state<Failure | null>(null);
  /** A job is on its way to the server. */
  submitting = $state(false);
  /** Said once to those who listen rather than look. */
  announcement = $state('');

  readonly session: Result[] = $derived(this.results.filter((result) => this.#sessionJobs.has(result.jobId)));
  readonly earlier: Result[] = $derived(
    this.results.filter((result) => !this.#sessionJobs.has(result.jobId)),
  );
  /** The picture on the stage, unless the live job is. */
  readonly selected: Result | null = $derived(
    this.results.find((result) => result.key === this.selectedKey) ?? null,
  );

  #sessionJobs = new Set<string>(JSON.parse(sessionStorage.getItem(SESSION_KEY) ?? '[]') as string[]);
  readonly #onEnd: () => void;
  #stop: (() => void) | null = null;
  #next: JobRequest | null = null;

  /** `onEnd` is called after each job. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /** Takes up the job that ran when the page was left, and lists what the server still has. */
  async restore() {
    const id = localStorage.getItem(CURRENT_KEY);
    const jobs = await api.jobs().catch((error: unknown) => this.#fail(error));
    if (!jobs) return;
    for (const job of jobs) this.#collect(job);
    const mine = jobs.find((job) => job.id === id);
    if (mine && !isFinal(mine.state)) this.#watch(mine);
    else localStorage.removeItem(CURRENT_KEY);
    const newest = this.session[0];
    if (!this.live && newest) this.selectedKey = newest.key;
  }

  /** Submits a job, or, while one runs, ends that one and submits then. */
  async generate(request: JobRequest) {
    this.failure = null;
    if (this.live) {
      this.#next = request;
      await this.interrupt();
      return;
    }
    if (this.submitting) return;
    this.submitting = true;
    try {
      const { id } = await api.submit(request);
      localStorage.setItem(CURRENT_KEY, id);
      this.#sessionJobs.add(id);
      sessionStorage.setItem(SESSION_KEY, JSON.stringify([...this.#sessionJobs]));
      this.#watch(await api.job(id));
      this.announcement = 'Generating';
    } catch (error) {
      this.#fail(error);
    } finally {
      this.submitting = false;
    }
  }

  /** Ends the job now and keeps what there is; one that waits is withdrawn. */
  async interrupt() {
    const job = this.live;
    if (!job) return;
    job.stopping = true;
    job.hurried = job.batches_done;
    if (await this.#ask(() => (job.state === 'queued' ? api.cancel(job.id) : api.interrupt(job.id)))) return;
    // The server did not hear it: it can be asked again, and nothing is to follow.
    job.stopping = false;
    this.#next = null;
  }

  /** Leaves the batch at work and goes on with the next. */
  async skip() {
    const job = this.live;
    if (!job) return;
    job.hurried = job.batches_done;
    await this.#ask(() => api.skip(job.id));
  }

  /** Shows the live job again. */
  selectLive() {
    this.selectedKey = null;
  }

  /** Takes away a picture that the server has no more. */
  forget(key: string) {
    this.results = this.results.filter((result) => result.key !== key);
  }

  #watch(job: Job) {
    this.selectedKey = null;
    this.live = {
      ...job,
      preview: job.preview && link(job.preview),
      connected: true,
      stopping: false,
      hurried: null,
    };
    this.#stop?.();
    this.#stop = follow(
      job.id,
      { open: api.events, load: loadJob, onWake },
      {
        change: (change) => this.#apply(change),
        connection: (connected) => this.live && (this.live.connected = connected),
        final: (final) => this.#finish(final),
        gone: () =>
          this.#end(new Failure('The server no longer knows this job; it was probably restarted.', 404)),
      },
    );
  }

  #apply(change: Change) {
    if (!this.live) return;
    // The picture itself comes in events of its own; the link of the status would only fetch it again.
    if (change.kind === 'preview') this.live.preview = link(change.url);
    else Object.assign(this.live, { ...change.status, preview: this.live.preview });
    this.#collect(this.live);
  }

  #finish(job: Job) {
    this.#collect(job, this.live?.hurried ?? null);
    const newest = this.results.find((result) => result.jobId === job.id);
    if (newest) this.selectedKey = newest.key;
    if (job.state === 'done')
      this.announcement = `${job.interrupted ? 'Interrupted' : 'Finished'}: ${count(job.images.length, 'picture')}`;
    this.#end(job.state === 'failed' ? jobFailure(job.error) : null);
  }

  #end(failure: Failure | null) {
    this.live = null;
    this.#stop = null;
    // Without a picture of its own, back to the last one.
    this.selectedKey ??= this.session[0]?.key ?? null;
    localStorage.removeItem(CURRENT_KEY);
    this.failure = failure;
    this.#onEnd();
    const next = this.#next;
    this.#next = null;
    if (next && !failure) void this.generate(next);
  }

  /** Adds the pictures of a job that are not yet known, and marks those that were cut short. */
  #collect(job: Job, hurried: number | null = null) {
    const all = job.images.map((image) => describe(job, image, cutOf(job, image.index, hurried)));
    const known = new Set(this.results.map((result) => result.key));
    const fresh = all.filter(({ key }) => !known.has(key));
    if (fresh.length > 0) this.results = [...fresh.reverse(), ...this.results];
    const cut = new Map(all.filter((result) => result.cut).map((result) => [result.key, result]));
    if (cut.size > 0) this.results = this.results.map((result) => cut.get(result.key) ?? result);
  }

  /** Whether the server did what it was asked for. */
  async #ask(call: () => Promise<unknown>): Promise<boolean> {
    try {
      await call();
    } catch (error) {
      // Already finished: its end arrives by itself.
      if (error instanceof Failure && [404, 409].includes(error.status)) return true;
      this.#fail(error);
      return false;
    }
    return true;
  }

  #fail(error: unknown) {
    this.failure = Failure.of(error);
  }
}

async function loadJob(id: string): Promise<Job | null> {
  try {
    return await api.job(id);
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return null;
    throw error;
  }
}

function onWake(callback: () => void): () => void {
  const visible = () => document.visibilityState === 'visible' && callback();
  addEventListener('online', callback);
  document.addEventListener('visibilitychange', visible);
  return () => {
    removeEventListener('online', callback);
    document.removeEventListener('visibilitychange', visible);
  };
}
