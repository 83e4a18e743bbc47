import { describe, expect, it } from 'vitest';
import { carryOver, presets, toStep } from './sizes';

const SMALL = { width: 128, height: 128 };
const LARGE = { width: 512, height: 512 };

describe('presets', () => {
  it('are multiples of the native size', () => {
    const sizes = presets(LARGE).map(({ width, height }) => `${width}x${height}`);
    expect(sizes).toEqual(['512x512', '768x512', '512x768', '768x768']);
  });
});

describe('carryOver', () => {
  it('keeps the preset when the model changes', () => {
    expect(carryOver({ width: 192, height: 128 }, SMALL, LARGE)).toEqual({ width: 768, height: 512 });
  });

  it('keeps a size that is no preset', () => {
    expect(carryOver({ width: 136, height: 128 }, SMALL, LARGE)).toEqual({ width: 136, height: 128 });
  });
});

describe('toStep', () => {
  it.each([
    [0, 8],
    [11, 8],
    [12, 16],
    [100.4, 104],
  ])('%d becomes %d', (pixels, expected) => expect(toStep(pixels)).toBe(expected));
});
