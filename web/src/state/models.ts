// Names of models.
import type { Model } from '../api/types';

/**
 * A model's title without its hash: the path of its file. Titles gain a hash once the server has computed it, so they
 * are of no use to remember a model by.
 */
export function fileOf({ title }: Pick<Model, 'title'>): string {
  return title.replace(/ \[[0-9a-f]{10}\]$/, '');
}
