// The calls that the page makes. Paths are relative to the page, so that it works below any subpath.
import createClient from 'openapi-fetch';
import { failureFromBody, unreachable } from './failure';
import type { paths } from './schema';
import type { Info, Job, JobRequest, Model } from './types';

// Not `document.baseURI`: it may carry a user name and password, with which fetch refuses to work.
const base = new URL('.', location.origin + location.pathname);
const client = createClient<paths>({ baseUrl: base.href.replace(/\/$/, '') });

/** A link in a server's answer, as something the browser can load from here: proxies may have put us below a path. */
export function link(url: string): string {
  return new URL(url.replace(/^\/(.*?\/)??(?=api\/v1\/)/, ''), base).href;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The contents of an answer. Throws a `Failure` if there is none, or if it says no. */
async function read<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw failureFromBody(response.status, error);
  return data as T;
}

const one = (id: string) => ({ params: { path: { id } } });

export const api = {
  info: (): Promise<Info> => read(client.GET('/api/v1/info')),
  models: () => read(client.GET('/api/v1/models')) as Promise<Model[]>,
  /** One model, with what the header of its file tells. */
  model: (name: string) =>
    read(client.GET('/api/v1/models/info', { params: { query: { name } } })) as Promise<Model>,
  refreshModels: () => read(client.POST('/sdapi/v1/refresh-checkpoints')),
  /** The infotext in a picture's file, given as a `data:` link; empty if there is none. */
  infotext: async (image: string) =>
    (await read(client.POST('/sdapi/v1/png-info', { body: { image } }))).info,
  jobs: () => read(client.GET('/api/v1/jobs')) as Promise<Job[]>,
  job: (id: string) => read(client.GET('/api/v1/jobs/{id}', one(id))) as Promise<Job>,
  submit: (request: JobRequest) => read(client.POST('/api/v1/jobs', { body: request })),
  /** Keeps a picture in the server's folder for that. */
  keep: (id: string, number: number) =>
    read(
      client.POST('/api/v1/jobs/{id}/images/{number}/keep', {
        params: { path: { id, number: String(number) } },
      }),
    ),
  cancel: (id: string) => read(client.DELETE('/api/v1/jobs/{id}', one(id))),
  interrupt: (id: string) => read(client.POST('/api/v1/jobs/{id}/interrupt', one(id))),
  skip: (id: string) => read(client.POST('/api/v1/jobs/{id}/skip', one(id))),
  events: (id: string) => new EventSource(link(`/api/v1/jobs/${encodeURIComponent(id)}/events`)),
};
