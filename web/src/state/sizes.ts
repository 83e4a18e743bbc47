// Picture sizes as multiples of what a model was trained at.

export interface Size {
  width: number;
  height: number;
}

export interface Preset extends Size {
  name: string;
}

export const SIZE_STEP = 8;

const SHAPES = [
  { name: 'Native', across: 1, down: 1 },
  { name: 'Landscape', across: 1.5, down: 1 },
  { name: 'Portrait', across: 1, down: 1.5 },
  { name: 'Large', across: 1.5, down: 1.5 },
];

export function presets(native: Size): Preset[] {
  return SHAPES.map(({ name, across, down }) => ({
    name,
    width: toStep(native.width * across),
    height: toStep(native.height * down),
  }));
}

/** The same preset of another model, or the size itself if it is none. */
export function carryOver(size: Size, from: Size, to: Size): Size {
  const index = presets(from).findIndex(
    (preset) => preset.width === size.width && preset.height === size.height,
  );
  const preset = presets(to)[index];
  return preset ? { width: preset.width, height: preset.height } : size;
}

export function toStep(pixels: number): number {
  return Math.max(SIZE_STEP, Math.round(pixels / SIZE_STEP) * SIZE_STEP);
}
