// What the form holds: its defaults, what is kept between visits, and the request it becomes.
import type { JobRequest } from '../api/types';

export interface Settings {
  prompt: string;
  negativePrompt: string;
  /** File of a model; empty means the server's own choice. */
  model: string;
  sampler: string;
  scheduler: string;
  steps: number;
  /** Pixels; null means the model's native size. */
  width: number | null;
  height: number | null;
  /** Strength of guidance; null means what suits the model. */
  cfgScale: number | null;
  /** -1 draws a new one each time. */
  seed: number;
  batchCount: number;
  batchSize: number;
}

export const RANDOM_SEED = -1;

export const DEFAULTS: Readonly<Settings> = {
  prompt: '',
  negativePrompt: '',
  model: '',
  sampler: 'DPM++ 2M',
  scheduler: 'Automatic',
  steps: 20,
  width: null,
  height: null,
  cfgScale: null,
  seed: RANDOM_SEED,
  batchCount: 1,
  batchSize: 1,
};

const OPTIONAL = new Set<keyof Settings>(['width', 'height', 'cfgScale']);

/** Settings from what an earlier visit stored; whatever does not fit is replaced by its default. */
export function restoreSettings(stored: string | null): Settings {
  const settings: Settings = { ...DEFAULTS };
  const found = parseObject(stored);
  for (const key of Object.keys(DEFAULTS) as (keyof Settings)[]) {
    const value = found[key];
    const fits = OPTIONAL.has(key)
      ? value === null || Number.isFinite(value)
      : typeof value === typeof DEFAULTS[key] && (typeof value !== 'number' || Number.isFinite(value));
    if (fits) Object.assign(settings, { [key]: value });
  }
  return settings;
}

/** `settings.model` is a title here, and `cfgScale` is filled in. */
export function toRequest(settings: Settings & { cfgScale: number }) {
  return {
    kind: 'txt2img',
    prompt: settings.prompt,
    negative_prompt: settings.negativePrompt,
    sampler_name: settings.sampler,
    scheduler: settings.scheduler,
    steps: settings.steps,
    width: settings.width,
    height: settings.height,
    cfg_scale: settings.cfgScale,
    seed: settings.seed,
    batch_size: settings.batchSize,
    n_iter: settings.batchCount,
    override_settings: settings.model ? { sd_model_checkpoint: settings.model } : {},
  } satisfies JobRequest;
}

function parseObject(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
