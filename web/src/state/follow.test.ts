import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Job } from '../api/types';
import { follow, readEvent, type Listener, type Source, type Surroundings } from './follow';

const JOB: Job = {
  id: '1',
  state: 'running',
  position: 0,
  step: 0,
  steps: 4,
  batches_done: 0,
  batch_count: 1,
  progress: 0,
  elapsed: 0,
  eta: null,
  prompt: '',
  negative_prompt: '',
  model: null,
  width: 128,
  height: 128,
  preview: null,
  images: [],
  comments: [],
  interrupted: false,
  error: null,
  events: '',
};

class FakeSource implements Source {
  closed = false;
  readonly #listeners = new Map<string, (event: MessageEvent<string>) => void>();

  addEventListener(name: string, listener: (event: MessageEvent<string>) => void) {
    this.#listeners.set(name, listener);
  }

  close() {
    this.closed = true;
  }

  send(name: string, data: unknown = {}) {
    this.#listeners.get(name)?.({ data: JSON.stringify(data) } as MessageEvent<string>);
  }
}

function setUp(load: Surroundings['load']) {
  const sources: FakeSource[] = [];
  const log: string[] = [];
  let wake = () => {};
  const listener: Listener = {
    change: (change) =>
      log.push(change.kind === 'preview' ? `preview ${change.url}` : `step ${change.status.step}`),
    connection: (connected) => log.at(-1) !== `connected ${connected}` && log.push(`connected ${connected}`),
    final: (job) => log.push(`final ${job.state}`),
    gone: () => log.push('gone'),
  };
  const stop = follow(
    '1',
    {
      open: () => {
        sources.push(new FakeSource());
        return sources.at(-1)!;
      },
      load,
      onWake: (callback) => {
        wake = callback;
        return () => (wake = () => {});
      },
    },
    listener,
  );
  return { sources, log, stop, wake: () => wake(), newest: () => sources.at(-1)! };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('follow', () => {
  it('passes steps and previews on, then asks for the finished job', async () => {
    const { newest, log } = setUp(async () => ({ ...JOB, state: 'done' }));
    newest().send('step', { step: 1 });
    newest().send('preview', { image: 'p1' });
    newest().send('finished');
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual([
      'connected true',
      'step 1',
      'connected true',
      'preview p1',
      'connected true',
      'step undefined',
      'connected true',
      'final done',
    ]);
    expect(newest().closed).toBe(true);
  });

  it('comes back after the network was lost, ever more slowly, and at once when woken', async () => {
    let online = false;
    const load = vi.fn(async () => {
      if (!online) throw new Error('offline');
      return { ...JOB, step: 3 };
    });
    const { sources, newest, log, wake } = setUp(load);
    newest().send('error');
    expect(sources[0]!.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(500);
    expect(load).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(load).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(load).toHaveBeenCalledTimes(2);
    online = true;
    wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(sources).toHaveLength(2);
    expect(log).toEqual(['connected false', 'connected true', 'step 3']);
  });

  it('asks by itself when the stream is silent', async () => {
    const load = vi.fn(async () => JOB);
    const { sources } = setUp(load);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(load).toHaveBeenCalledTimes(1);
    expect(sources).toHaveLength(1);
  });

  it('ends when the server does not know the job', async () => {
    const { newest, log } = setUp(async () => null);
    newest().send('error');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['connected false', 'connected true', 'gone']);
  });

  it('says nothing more once stopped', async () => {
    const { newest, log, stop } = setUp(async () => JOB);
    stop();
    newest().send('step', { step: 1 });
    newest().send('error');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual([]);
  });
});

describe('readEvent', () => {
  it.each([
    ['step', 'not JSON'],
    ['step', 'null'],
    ['preview', '{}'],
    ['unheard-of', '{}'],
  ])('has nothing to say of %s %s', (name, data) => expect(readEvent(name, data)).toBeNull());

  it('takes the state from the name of the event', () => {
    expect(readEvent('failed', '{"error":"x"}')).toEqual({
      kind: 'status',
      status: { error: 'x', state: 'failed' },
    });
  });
});
