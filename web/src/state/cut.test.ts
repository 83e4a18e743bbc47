import { describe, expect, it } from 'vitest';
import type { JobImage, JobState } from '../api/types';
import { cutOf } from './cut';

const image = (index: number): JobImage => ({ index, url: '', seed: 1, subseed: 0, infotext: '' });

/** A job with `pictures` pictures in `batches` of `count` batches, whose last end before its time was at step 3 of 8. */
function ended(pictures: number, batches: number, count: number, more: object = {}) {
  return {
    id: '1',
    state: 'done' as JobState,
    images: Array.from({ length: pictures }, (_, index) => image(index)),
    interrupted: true,
    step: 3,
    steps: 8,
    batches_done: batches,
    batch_count: count,
    ...more,
  };
}

const cuts = (job: ReturnType<typeof ended>, hurried: number | null = null) =>
  job.images.map(({ index }) => cutOf(job, index, hurried) !== null);

describe('cutOf', () => {
  it('tells how far a picture came', () => {
    expect(cutOf(ended(1, 1, 1), 0, null)).toEqual({ step: 3, steps: 8 });
  });

  it.each([
    ['a finished job', { interrupted: false }],
    ['a job that was interrupted after its last step', { step: 8 }],
    ['a job that still runs', { state: 'running' }],
  ])('says nothing of %s', (_, more) => {
    expect(cuts(ended(1, 1, 1, more))).toEqual([false]);
  });

  it('means all pictures of the last batch there is', () => {
    expect(cuts(ended(4, 2, 3))).toEqual([false, false, true, true]);
  });

  it('means the batch that was hurried, and none where it cannot tell', () => {
    expect(cuts(ended(3, 3, 3), 1)).toEqual([false, true, false]);
    expect(cuts(ended(3, 3, 3))).toEqual([false, false, false]);
  });
});
