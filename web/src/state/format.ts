// Numbers and states in words.
import type { Job } from '../api/types';

export function duration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function percent(share: number): string {
  return `${Math.round(Math.min(1, Math.max(0, share)) * 100)} %`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** "2×", "1.5×": how much larger than itself a picture is shown. */
export function scale(factor: number): string {
  return `${Number(factor.toFixed(factor < 1 ? 2 : 1))}×`;
}

type Activity = Pick<Job, 'state' | 'position' | 'step' | 'steps' | 'batches_done' | 'batch_count' | 'eta'>;

/** What a job that is not finished is doing, in one line. */
export function activity(job: Activity): string {
  if (job.state === 'queued') {
    return job.position > 0 ? `Waiting for ${count(job.position, 'job')} before this one` : 'Starting';
  }
  if (job.step === 0 && job.batches_done === 0) return 'Preparing the model';
  const batch =
    job.batch_count > 1
      ? `Batch ${Math.min(job.batches_done + 1, job.batch_count)} of ${job.batch_count}, step`
      : 'Step';
  const step = `${batch} ${job.step} of ${job.steps}`;
  return job.eta === null ? step : `${step}, about ${duration(job.eta)} left`;
}
