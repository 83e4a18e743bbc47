import { describe, expect, it } from 'vitest';
import { activity, duration, percent, scale } from './format';

describe('duration', () => {
  it.each([
    [0.2, '1 s'],
    [59.4, '59 s'],
    [60, '1 min'],
    [95, '1 min 35 s'],
    [3720, '1 h 2 min'],
  ])('%d is %s', (seconds, expected) => expect(duration(seconds)).toBe(expected));
});

describe('activity', () => {
  const running = {
    state: 'running',
    position: 0,
    step: 3,
    steps: 20,
    batches_done: 0,
    batch_count: 1,
    eta: 12,
  } as const;

  it.each([
    [{ ...running, state: 'queued', position: 2 } as const, 'Waiting for 2 jobs before this one'],
    [{ ...running, state: 'queued', position: 1 } as const, 'Waiting for 1 job before this one'],
    [{ ...running, state: 'queued' } as const, 'Starting'],
    [{ ...running, step: 0, eta: null }, 'Preparing the model'],
    [running, 'Step 3 of 20, about 12 s left'],
    [{ ...running, eta: null }, 'Step 3 of 20'],
    [
      { ...running, batches_done: 1, batch_count: 4, eta: 80 },
      'Batch 2 of 4, step 3 of 20, about 1 min 20 s left',
    ],
  ])('%j', (job, expected) => expect(activity(job)).toBe(expected));
});

describe('percent and scale', () => {
  it('round, and stay within bounds', () => {
    expect([percent(0.856), percent(1.2), percent(-1)]).toEqual(['86 %', '100 %', '0 %']);
    expect([scale(4), scale(2.7512), scale(0.333)]).toEqual(['4×', '2.8×', '0.33×']);
  });
});
