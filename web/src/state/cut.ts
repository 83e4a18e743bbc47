// Which pictures of a job were cut short, and where.
import type { Job } from '../api/types';

export interface Cut {
  step: number;
  steps: number;
}

type Ended = Pick<
  Job,
  'id' | 'state' | 'images' | 'interrupted' | 'step' | 'steps' | 'batches_done' | 'batch_count'
>;

/**
 * How far picture `index` of an ended job came, if that was not to its end. The job tells of the last time that it was
 * hurried, not of which batch; `hurried` is that batch, where it is known. Otherwise it is the last one there is, unless all
 * are there: then an earlier one may have been skipped, and nothing is claimed.
 */
export function cutOf(job: Ended, index: number, hurried: number | null): Cut | null {
  const { state, interrupted, step, steps, batches_done: batches } = job;
  if (state !== 'done' || !interrupted || step >= steps || batches === 0) return null;
  const ambiguous = job.batch_count > 1 && batches === job.batch_count;
  const cutBatch = hurried ?? (ambiguous ? null : batches - 1);
  const batchSize = job.images.length / batches;
  return Math.floor(index / batchSize) === cutBatch ? { step, steps } : null;
}

export function describeCut({ step, steps }: Cut): string {
  return `Interrupted at step ${step} of ${steps}`;
}
