// The form's settings while the page is open.
import type { JobRequest } from '../api/types';
import type { Server } from './server.svelte';
import { settingsFromInfotext } from './infotext';
import { fileOf } from './models';
import { DEFAULTS, restoreSettings, toRequest, type Settings } from './settings';
import { carryOver, type Size } from './sizes';

const KEY = 'impasto.settings';

export class Form {
  values = $state<Settings>(restoreSettings(localStorage.getItem(KEY)));
  /** What the last settings taken over asked for and could not get, in words. */
  missing = $state<string[]>([]);

  readonly native: Size = $derived.by(() => this.#server.native(this.values.model));
  readonly size: Size = $derived({
    width: this.values.width ?? this.native.width,
    height: this.values.height ?? this.native.height,
  });

  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  save() {
    localStorage.setItem(KEY, JSON.stringify(this.values));
  }

  /** Drops names that the server does not have (any more). */
  fit() {
    const { info, models } = this.#server;
    if (!info) return;
    const { values } = this;
    if (!info.samplers.some(({ name }) => name === values.sampler))
      values.sampler = info.samplers[0]?.name ?? DEFAULTS.sampler;
    if (!info.schedulers.some(({ label }) => label === values.scheduler))
      values.scheduler = DEFAULTS.scheduler;
    if (!models.some((model) => fileOf(model) === values.model)) values.model = '';
  }

  /** Chooses a model and keeps the size's proportion to the native one. */
  chooseModel(file: string) {
    const from = this.native;
    this.values.model = file;
    if (this.values.width === null && this.values.height === null) return;
    this.resize(carryOver(this.size, from, this.native));
  }

  resize({ width, height }: Size) {
    const native = width === this.native.width && height === this.native.height;
    this.values.width = native ? null : width;
    this.values.height = native ? null : height;
  }

  /** Takes over the settings of a picture. */
  useInfotext(infotext: string) {
    const { info, models } = this.#server;
    if (!info) return;
    const { settings, missing } = settingsFromInfotext(infotext, { ...info, models });
    Object.assign(this.values, settings);
    this.resize(this.size);
    this.missing = missing;
  }

  /** Back to the defaults, prompts and model aside. */
  reset() {
    const { prompt, negativePrompt, model } = this.values;
    this.values = { ...DEFAULTS, prompt, negativePrompt, model };
    this.missing = [];
  }

  request(): JobRequest {
    const { values } = this;
    return toRequest({ ...values, model: values.model && (this.#server.model(values.model)?.title ?? '') });
  }
}
