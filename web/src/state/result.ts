// A finished picture, with what its infotext says of it.
import { link } from '../api/client';
import type { Job, JobImage } from '../api/types';
import type { Cut } from './cut';
import { parseInfotext } from './infotext';

export interface Result {
  /** Unique among pictures. */
  key: string;
  jobId: string;
  /** Number of the picture in its job. */
  index: number;
  url: string;
  fileName: string;
  infotext: string;
  seed: number;
  prompt: string;
  negativePrompt: string;
  /** The settings below the prompts, in the order of the text. */
  facts: [name: string, value: string][];
  width: number;
  height: number;
  /** How far it came, if its job was ended before it was finished. */
  cut: Cut | null;
  /** What was left out of what its job asked for, and why. */
  comments: string[];
}

export function describe({ id: jobId, comments }: Job, image: JobImage, cut: Cut | null): Result {
  const { prompt, negativePrompt, fields } = parseInfotext(image.infotext);
  const [width = 512, height = 512] = (fields.get('Size') ?? '').split('x').map(Number).filter(Boolean);
  return {
    key: `${jobId}/${image.index}`,
    jobId,
    index: image.index,
    url: link(image.url),
    fileName: `impasto-${image.seed}.png`,
    infotext: image.infotext,
    seed: image.seed,
    prompt,
    negativePrompt,
    facts: [...fields],
    width,
    height,
    cut,
    comments,
  };
}
