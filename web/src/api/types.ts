// The words of the server's interface that the page uses.

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

export interface JobImage {
  index: number;
  url: string;
  seed: number;
  infotext: string;
}

export interface Job {
  id: string;
  state: JobState;
  position: number;
  step: number;
  steps: number;
  batches_done: number;
  batch_count: number;
  progress: number;
  eta: number | null;
  model: string | null;
  width: number | null;
  height: number | null;
  preview: string | null;
  images: JobImage[];
  interrupted: boolean;
  error: string | null;
}

export interface JobRequest {
  kind: 'txt2img';
  prompt: string;
  negative_prompt: string;
  sampler_name: string;
  scheduler: string;
  steps: number;
  width: number | null;
  height: number | null;
  cfg_scale: number;
  seed: number;
  batch_size: number;
  n_iter: number;
  override_settings: { sd_model_checkpoint?: string };
}

export interface Model {
  title: string;
  name: string;
  hash: string | null;
  sha256: string | null;
  bytes: number;
  native_width: number | null;
  native_height: number | null;
  problem: string | null;
  is_default: boolean;
}

export interface Info {
  version: string;
  backend: string;
  limits: { max_edge: number; max_pixels: number; max_steps: number; max_images: number };
  samplers: { name: string }[];
  schedulers: { name: string; label: string }[];
}
