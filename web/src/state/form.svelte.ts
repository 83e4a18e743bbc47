// The form's settings while the page is open.
import type { JobRequest } from '../api/types';
import type { Server } from './server.svelte';
import { settingsFromInfotext } from './infotext';
import { fileOf } from './models';
import { DEFAULTS, restoreSettings, toRequest, type Settings } from './settings';
import { carryOver, type Size } from './sizes';

const KEY = 'impasto.settings';

export interface Notice {
  text: string;
  /** Something was not done. */
  grave: boolean;
}

export class Form {
  values = $state<Settings>(restoreSettings(localStorage.getItem(KEY)));
  /** What came of the last change that was not made in a field: a model's choice, settings taken over. */
  notice = $state<Notice | null>(null);

  readonly native: Size = $derived.by(() => this.#server.native(this.values.model));
  readonly size: Size = $derived({
    width: this.values.width ?? this.native.width,
    height: this.values.height ?? this.native.height,
  });

  readonly cfgScale: number = $derived.by(
    () => this.values.cfgScale ?? this.#server.guidance(this.values.model),
  );
  /** Ends when what was chosen or taken over last is in the form. */
  settled: Promise<void> = Promise.resolve();

  readonly #server: Server;
  #wanted = '';

  constructor(server: Server) {
    this.#server = server;
  }

  save() {
    localStorage.setItem(KEY, JSON.stringify(this.values));
  }

  /** Drops names that the server does not have (any more). */
  fit() {
    const { info } = this.#server;
    if (!info) return;
    const { values } = this;
    if (!info.samplers.some(({ name }) => name === values.sampler))
      values.sampler = info.samplers[0]?.name ?? DEFAULTS.sampler;
    if (!info.schedulers.some(({ label }) => label === values.scheduler))
      values.scheduler = DEFAULTS.scheduler;
    if (values.model === '') return;
    const problem = this.#problemOf(values.model);
    if (problem === null) return;
    values.model = '';
    this.notice = { text: problem, grave: true };
  }

  /**
   * Chooses a model and keeps the size's proportion to the native one. Until the header of its file was read, everything
   * stays as it is, rather than to show a size that is none.
   */
  chooseModel(file: string): Promise<void> {
    this.settled = this.#choose(file);
    return this.settled;
  }

  async #choose(file: string) {
    this.#wanted = file;
    await this.#server.look(file);
    // Somebody was faster with another choice.
    if (this.#wanted !== file) return;
    const problem = this.#problemOf(file);
    this.notice = problem === null ? null : { text: problem, grave: true };
    if (problem !== null) return;
    const from = this.native;
    this.values.model = file;
    if (this.values.width !== null || this.values.height !== null)
      this.resize(carryOver(this.size, from, this.native));
    this.guide(this.cfgScale);
  }

  /** Why the model in this file cannot be chosen, if so. */
  #problemOf(file: string): string | null {
    const model = this.#server.models.find((one) => fileOf(one) === file);
    if (!model) return `Model ${file} is not on this server.`;
    return model.problem === null ? null : `Model ${file} cannot be used: ${model.problem}.`;
  }

  resize({ width, height }: Size) {
    const native = width === this.native.width && height === this.native.height;
    this.values.width = native ? null : width;
    this.values.height = native ? null : height;
  }

  guide(cfgScale: number) {
    this.values.cfgScale = cfgScale === this.#server.guidance(this.values.model) ? null : cfgScale;
  }

  /** Takes over the settings of a picture. */
  useInfotext(infotext: string): Promise<void> {
    this.settled = this.#takeOver(infotext);
    return this.settled;
  }

  async #takeOver(infotext: string) {
    const { info, models } = this.#server;
    if (!info) return;
    const { settings, missing } = settingsFromInfotext(infotext, { ...info, models });
    const { model, ...others } = settings;
    this.notice = null;
    if (model !== undefined && model !== this.values.model) await this.#choose(model);
    Object.assign(this.values, others);
    this.resize(this.size);
    this.guide(this.cfgScale);
    if (missing.length > 0) this.notice = { text: `Not taken over: ${missing.join('; ')}.`, grave: true };
    this.notice ??= { text: 'The picture’s settings are in the form now.', grave: false };
  }

  /** Back to the defaults, prompts and model aside. */
  reset() {
    const { prompt, negativePrompt, model } = this.values;
    this.values = { ...DEFAULTS, prompt, negativePrompt, model };
    this.notice = null;
  }

  request(): JobRequest {
    const { values } = this;
    const { cfgScale } = this;
    return toRequest({
      ...values,
      cfgScale,
      model: values.model && (this.#server.model(values.model)?.title ?? ''),
    });
  }
}
