// Follows one job until it is final: by server-sent events, by asking again when those fall silent or break.
//
// Holds no state of the page and touches no browser object itself, so that tests can play the network.
import type { Job, JobState } from '../api/types';

/** What an event tells of the job. */
export type Change = { kind: 'status'; status: Partial<Job> } | { kind: 'preview'; url: string };

/** The part of `EventSource` that is used. */
export interface Source {
  addEventListener(name: string, listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

export interface Surroundings {
  /** Opens the job's event stream. */
  open(id: string): Source;
  /** The job as it stands, or null if the server does not know it. Throws if the server cannot be reached. */
  load(id: string): Promise<Job | null>;
  /** Calls back when trying again at once is worth it, such as when the network returns. Gives the way to stop. */
  onWake(callback: () => void): () => void;
}

export interface Listener {
  change(change: Change): void;
  /** Whether the server can be heard. */
  connection(connected: boolean): void;
  /** The job is final; this is all of it. */
  final(job: Job): void;
  /** The server does not know the job any more. */
  gone(): void;
}

const EVENT_STATES: Record<string, JobState> = {
  queued: 'queued',
  started: 'running',
  step: 'running',
  finished: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
};
const FINAL_STATES = new Set<JobState>(['done', 'failed', 'cancelled']);
const SILENCE_MS = 10_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8_000;

export function isFinal(state: JobState): boolean {
  return FINAL_STATES.has(state);
}

/** What one event changes; null for an event that says nothing to us. */
export function readEvent(name: string, data: string): Change | null {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(data) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  if (name === 'preview') {
    return typeof value.image === 'string' ? { kind: 'preview', url: value.image } : null;
  }
  const state = EVENT_STATES[name];
  return state ? { kind: 'status', status: { ...value, state } } : null;
}

/** Starts to follow; the result stops it. */
export function follow(id: string, around: Surroundings, listener: Listener): () => void {
  let source: Source | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let retry = FIRST_RETRY_MS;
  let stopped = false;
  let asking = false;

  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
    unwake();
  };
  const later = (milliseconds: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => void ask(), milliseconds);
  };
  const hear = (name: string, data: string) => {
    if (stopped) return;
    listener.connection(true);
    retry = FIRST_RETRY_MS;
    const change = readEvent(name, data);
    if (change) listener.change(change);
    const state = EVENT_STATES[name];
    if (state && isFinal(state)) void ask();
    else later(SILENCE_MS);
  };
  const listen = () => {
    const opened = around.open(id);
    source = opened;
    for (const name of [...Object.keys(EVENT_STATES), 'preview']) {
      opened.addEventListener(name, (event) => hear(name, event.data));
    }
    // The browser's own reconnecting gives up on an HTTP error, so all of it is done here.
    opened.addEventListener('error', () => {
      if (stopped || source !== opened) return;
      disconnect();
    });
    later(SILENCE_MS);
  };
  const disconnect = () => {
    source?.close();
    source = null;
    listener.connection(false);
    later(retry);
    retry = Math.min(retry * 2, LAST_RETRY_MS);
  };
  const ask = async () => {
    if (stopped || asking) return;
    asking = true;
    try {
      const job = await around.load(id);
      if (stopped) return;
      listener.connection(true);
      if (job === null) {
        stop();
        listener.gone();
      } else if (isFinal(job.state)) {
        stop();
        listener.final(job);
      } else {
        listener.change({ kind: 'status', status: job });
        if (source) later(SILENCE_MS);
        else listen();
      }
    } catch {
      if (!stopped) disconnect();
    } finally {
      asking = false;
    }
  };
  const unwake = around.onWake(() => void ask());
  listen();
  return stop;
}
