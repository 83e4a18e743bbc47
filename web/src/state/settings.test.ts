import { describe, expect, it } from 'vitest';
import { DEFAULTS, restoreSettings, toRequest } from './settings';

describe('restoreSettings', () => {
  it.each([
    [null],
    ['not JSON'],
    ['null'],
    ['[1]'],
    ['{"steps":"many","seed":null,"width":"wide","cfgScale":"strong"}'],
  ])('%j gives the defaults', (stored) => {
    expect(restoreSettings(stored)).toEqual(DEFAULTS);
  });

  it('keeps what fits and drops what it does not know', () => {
    const stored = JSON.stringify({ prompt: 'a cat', steps: 7, width: 192, cfgScale: 4, older: true });
    expect(restoreSettings(stored)).toEqual({
      ...DEFAULTS,
      prompt: 'a cat',
      steps: 7,
      width: 192,
      cfgScale: 4,
    });
  });
});

describe('toRequest', () => {
  it('leaves model and size to the server unless they were chosen', () => {
    const request = toRequest({ ...DEFAULTS, cfgScale: 7, prompt: 'a cat' });
    expect(request).toMatchObject({
      prompt: 'a cat',
      width: null,
      height: null,
      seed: -1,
      override_settings: {},
    });
  });

  it('names the model of this job only', () => {
    const request = toRequest({
      ...DEFAULTS,
      cfgScale: 7,
      model: 'demo.safetensors',
      batchCount: 3,
      batchSize: 2,
    });
    expect(request).toMatchObject({
      n_iter: 3,
      batch_size: 2,
      override_settings: { sd_model_checkpoint: 'demo.safetensors' },
    });
  });
});
