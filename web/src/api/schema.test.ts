import { readFile } from 'node:fs/promises';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, it } from 'vitest';

const DESCRIPTION = new URL('../../../docs/openapi.json', import.meta.url);
const TYPES = new URL('./schema.d.ts', import.meta.url);

it('has the types of docs/openapi.json (if not: `npm run client`)', async () => {
  // The same settings as in the script `client`.
  const nodes = await openapiTS(DESCRIPTION, { defaultNonNullable: false, emptyObjectsUnknown: true });
  expect(await readFile(TYPES, 'utf8')).toBe(COMMENT_HEADER + astToString(nodes));
}, 60_000);
