// What the server is and has: models, samplers, schedules, limits.
import { api } from '../api/client';
import { Failure } from '../api/failure';
import type { Info, Model } from '../api/types';
import { fileOf } from './models';
import type { Size } from './sizes';

const COMMON_NATIVE: Size = { width: 512, height: 512 };
const COMMON_GUIDANCE = 7;

export class Server {
  info = $state<Info | null>(null);
  models = $state<Model[]>([]);
  failure = $state<Failure | null>(null);
  refreshing = $state(false);

  readonly ready = $derived(this.info !== null);
  readonly defaultModel = $derived(this.models.find((model) => model.is_default) ?? this.models[0] ?? null);

  /** `chosen` is the file of the model that the form will show. */
  async load(chosen: string) {
    this.failure = null;
    try {
      const [info, models] = await Promise.all([api.info(), api.models()]);
      this.models = models;
      await this.look(chosen);
      this.info = info;
    } catch (error) {
      this.failure = Failure.of(error);
    }
  }

  /** Looks for new model files. Throws what the server says against it. */
  async refreshModels() {
    this.refreshing = true;
    try {
      await api.refreshModels();
      this.models = await api.models();
    } finally {
      this.refreshing = false;
    }
  }

  /** Has the server read the header of a model's file, unless it did so before. */
  async look(file: string) {
    const model = this.model(file);
    if (!model || model.native_width !== null) return;
    // What is not known is left to the server, and a server that is gone is met by the next call.
    const told = await api.model(model.title).catch(() => model);
    this.models = this.models.map((one) => (fileOf(one) === fileOf(model) ? told : one));
  }

  /** Learns what the server found out of its models by working with them: hashes and native sizes. */
  async reloadModels() {
    if (this.models.every(({ hash, native_width }) => hash !== null && native_width !== null)) return;
    this.models = await api.models().catch(() => this.models);
  }

  /** The model in this file, or the one that is used when none is named. */
  model(file: string): Model | null {
    return this.models.find((model) => fileOf(model) === file) ?? this.defaultModel;
  }

  native(file: string): Size {
    const model = this.model(file);
    if (!model?.native_width || !model.native_height) return COMMON_NATIVE;
    return { width: model.native_width, height: model.native_height };
  }

  /** The guidance that suits a model. */
  guidance(file: string): number {
    return this.model(file)?.cfg_scale ?? COMMON_GUIDANCE;
  }
}
