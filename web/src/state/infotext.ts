// Reads the text that AUTOMATIC1111 and Impasto put into a picture's file, and turns it into settings.
//
// The grammar is that of A1111's `parse_generation_parameters`: prompt lines, an optional negative prompt, and a last
// line of `Key: value` pairs, which counts as such only with three pairs or more.
import type { Model } from '../api/types';
import { fileOf } from './models';
import type { Settings } from './settings';

export interface Infotext {
  prompt: string;
  negativePrompt: string;
  fields: Map<string, string>;
}

/** Which names the server knows, so that settings from elsewhere can be matched with them. */
export interface Known {
  samplers: { name: string }[];
  schedulers: { name: string; label: string }[];
  models: Pick<Model, 'title' | 'name' | 'hash'>[];
}

export interface SettingsFromText {
  settings: Partial<Settings>;
  /** What the text asks for and this server cannot do, in words. */
  missing: string[];
}

const PAIR = /\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/g;
const NEGATIVE = 'Negative prompt:';
const FEWEST_PAIRS = 3;

export function parseInfotext(text: string): Infotext {
  const lines = text.trim().split('\n');
  const pairs = [...(lines.at(-1) ?? '').matchAll(PAIR)];
  const hasFields = pairs.length >= FEWEST_PAIRS;
  const prompt: string[] = [];
  const negative: string[] = [];
  let target = prompt;
  for (const raw of hasFields ? lines.slice(0, -1) : lines) {
    let line = raw.trim();
    if (target === prompt && line.startsWith(NEGATIVE)) {
      target = negative;
      line = line.slice(NEGATIVE.length).trim();
    }
    target.push(line);
  }
  const fields = new Map<string, string>();
  for (const [, key = '', value = ''] of hasFields ? pairs : []) fields.set(key, unquote(value.trim()));
  return { prompt: prompt.join('\n'), negativePrompt: negative.join('\n'), fields };
}

/** Whether `text` is a whole infotext and not just a prompt. */
export function isInfotext(text: string): boolean {
  const { fields } = parseInfotext(text);
  return fields.has('Steps') && fields.has('Seed');
}

export function settingsFromInfotext(text: string, known: Known): SettingsFromText {
  const { prompt, negativePrompt, fields } = parseInfotext(text);
  const settings: Partial<Settings> = { prompt, negativePrompt };
  const missing: string[] = [];
  const number = (key: string) => {
    const value = Number(fields.get(key) ?? NaN);
    return Number.isFinite(value) ? value : undefined;
  };
  const steps = number('Steps');
  if (steps !== undefined) settings.steps = steps;
  const cfgScale = number('CFG scale');
  if (cfgScale !== undefined) settings.cfgScale = cfgScale;
  const seed = number('Seed');
  if (seed !== undefined && Number.isSafeInteger(seed)) settings.seed = seed;
  else if (seed !== undefined) missing.push(`seed ${fields.get('Seed')} is too large for this page`);
  const size = /^(\d+)x(\d+)$/.exec(fields.get('Size') ?? '');
  if (size) [settings.width, settings.height] = [Number(size[1]), Number(size[2])];
  readSampler(fields, known, settings, missing);
  readModel(fields, known, settings, missing);
  return { settings, missing };
}

function readSampler(
  fields: Map<string, string>,
  known: Known,
  settings: Partial<Settings>,
  missing: string[],
) {
  let name = fields.get('Sampler');
  if (name === undefined) return;
  let label = fields.get('Schedule type');
  if (label === undefined) {
    // Before A1111 1.9 the schedule was part of the sampler's name: "DPM++ 2M Karras".
    const suffix = known.schedulers.find((schedule) => name?.endsWith(` ${schedule.label}`));
    if (suffix) [name, label] = [name.slice(0, -suffix.label.length - 1), suffix.label];
  }
  const sampler = known.samplers.find((one) => one.name === name);
  if (sampler) settings.sampler = sampler.name;
  else missing.push(`sampling method ${name} is not known here`);
  const wanted = label ?? 'Automatic';
  const schedule = known.schedulers.find((one) => one.label === wanted || one.name === wanted);
  if (schedule) settings.scheduler = schedule.label;
  else missing.push(`schedule type ${wanted} is not known here`);
}

function readModel(
  fields: Map<string, string>,
  known: Known,
  settings: Partial<Settings>,
  missing: string[],
) {
  const [hash, name] = [fields.get('Model hash'), fields.get('Model')];
  if (hash === undefined && name === undefined) return;
  const model =
    known.models.find((one) => hash !== undefined && one.hash === hash) ??
    known.models.find((one) => name !== undefined && one.name === name);
  if (model) settings.model = fileOf(model);
  else missing.push(`model ${name ?? hash} is not on this server`);
}

function unquote(value: string): string {
  if (!value.startsWith('"') || !value.endsWith('"') || value.length < 2) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}
