// The calls that the page makes. Paths are relative to the page, so that it works below any subpath.
import type { Info, Job, JobRequest, Model } from './types';
import { failureFromResponse, unreachable } from './failure';

// Not `document.baseURI`: it may carry a user name and password, with which fetch refuses to work.
const base = new URL('.', location.origin + location.pathname);

/** A link in a server's answer, as something the browser can load from here. */
export function link(url: string): string {
  return new URL(url.replace(/^\//, ''), base).href;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(new URL(path, base), {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
  } catch {
    throw unreachable();
  }
  if (!response.ok) throw await failureFromResponse(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

const job = (id: string) => `api/v1/jobs/${encodeURIComponent(id)}`;

export const api = {
  info: () => call<Info>('GET', 'api/v1/info'),
  models: () => call<Model[]>('GET', 'api/v1/models'),
  refreshModels: () => call<unknown>('POST', 'sdapi/v1/refresh-checkpoints'),
  /** The infotext in a picture's file; empty if there is none. */
  infotext: async (image: string) =>
    (await call<{ info: string }>('POST', 'sdapi/v1/png-info', { image })).info,
  jobs: () => call<Job[]>('GET', 'api/v1/jobs'),
  job: (id: string) => call<Job>('GET', job(id)),
  submit: (request: JobRequest) => call<{ id: string; state: string }>('POST', 'api/v1/jobs', request),
  cancel: (id: string) => call<unknown>('DELETE', job(id)),
  interrupt: (id: string) => call<unknown>('POST', `${job(id)}/interrupt`),
  skip: (id: string) => call<unknown>('POST', `${job(id)}/skip`),
  events: (id: string) => new EventSource(new URL(`${job(id)}/events`, base)),
};
