import { describe, expect, it } from 'vitest';
import { isInfotext, parseInfotext, settingsFromInfotext, type Known } from './infotext';

const FACTS =
  'Steps: 30, Sampler: Euler a, Schedule type: Karras, CFG scale: 6.5, Seed: 4294967290, Size: 192x128';

const known: Known = {
  samplers: [{ name: 'DPM++ 2M' }, { name: 'Euler a' }, { name: 'Euler' }],
  schedulers: ['Automatic', 'Karras', 'SGM Uniform'].map((label) => ({
    name: label.toLowerCase().replace(' ', '_'),
    label,
  })),
  models: [{ title: 'demo.safetensors [0123456789]', name: 'demo', hash: '0123456789' }],
};

describe('parseInfotext', () => {
  it('splits prompt, negative prompt and fields', () => {
    const { prompt, negativePrompt, fields } = parseInfotext(
      `a cat,\non a mat\nNegative prompt: dog\nrain\n${FACTS}`,
    );
    expect(prompt).toBe('a cat,\non a mat');
    expect(negativePrompt).toBe('dog\nrain');
    expect([...fields.keys()]).toEqual(['Steps', 'Sampler', 'Schedule type', 'CFG scale', 'Seed', 'Size']);
  });

  it('takes a last line with fewer than three pairs for prompt', () => {
    const { prompt, fields } = parseInfotext('colours: red, shape: round');
    expect(prompt).toBe('colours: red, shape: round');
    expect(fields.size).toBe(0);
  });

  it('reads quoted values, and leaves broken quotes as they are', () => {
    const text =
      String.raw`x` + '\n' + String.raw`Steps: 1, Lora hashes: "a: 12, b: \"q\"", Seed: 2, Odd: "\x"`;
    const { fields } = parseInfotext(text);
    expect(fields.get('Lora hashes')).toBe('a: 12, b: "q"');
    expect(fields.get('Odd')).toBe(String.raw`"\x"`);
  });

  it('reads a text without any prompt', () => {
    expect(parseInfotext(FACTS).prompt).toBe('');
    expect(parseInfotext('').fields.size).toBe(0);
  });
});

describe('isInfotext', () => {
  it.each([
    [`a cat\n${FACTS}`, true],
    ['a cat, style: oil, light: low, mood: calm', false],
    ['', false],
  ])('%j is %j', (text, expected) => expect(isInfotext(text)).toBe(expected));
});

describe('settingsFromInfotext', () => {
  it('takes over all that the form holds', () => {
    const { settings, missing } = settingsFromInfotext(
      `a cat\n${FACTS}, Model hash: 0123456789, Model: renamed`,
      known,
    );
    expect(settings).toEqual({
      prompt: 'a cat',
      negativePrompt: '',
      steps: 30,
      sampler: 'Euler a',
      scheduler: 'Karras',
      cfgScale: 6.5,
      seed: 4294967290,
      width: 192,
      height: 128,
      model: 'demo.safetensors',
    });
    expect(missing).toEqual([]);
  });

  it('finds the schedule in an older sampler name', () => {
    const { settings } = settingsFromInfotext('x\nSteps: 1, Sampler: DPM++ 2M Karras, Seed: 1', known);
    expect([settings.sampler, settings.scheduler]).toEqual(['DPM++ 2M', 'Karras']);
  });

  it('says what is not there instead of guessing', () => {
    const text =
      'x\nSteps: 1, Sampler: Restart, Schedule type: Beta, Seed: 18446744073709551615, Model: other';
    const { settings, missing } = settingsFromInfotext(text, known);
    expect(settings).toEqual({ prompt: 'x', negativePrompt: '', steps: 1 });
    expect(missing).toHaveLength(4);
    expect(missing.join()).toMatch(/seed 18446744073709551615.*Restart.*Beta.*model other/);
  });
});
