// A stand-in for Impasto's server, so that the page can be worked on without one. It has one worker, draws discs, and
// says no as the real one does. A prompt with "fail" in it makes a job that fails.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Info, Job, Model } from '../src/api/types.ts';
import type { toRequest } from '../src/state/settings.ts';
import { drawPicture, readInfotext } from './pictures.ts';

/** What the page sends; it leaves nothing out. */
type PageRequest = ReturnType<typeof toRequest>;

interface MockJob extends Job {
  request: PageRequest;
  width: number;
  height: number;
  listeners: Set<ServerResponse>;
  /** How far each picture came, 0 to 1. */
  clear: number[];
  ending: 'interrupt' | 'skip' | 'cancel' | null;
}

const STEP_MS = Number(process.env.MOCK_STEP_MS ?? 140);
const NATIVE = 128;
const FINAL = new Set(['done', 'failed', 'cancelled']);

const INFO: Info = {
  version: 'impasto 0.1.0',
  backend: 'stand-in',
  limits: {
    max_edge: 2048,
    max_pixels: 2048 * 2048,
    max_steps: 1000,
    max_images: 256,
    max_prompt_bytes: 2 ** 20,
  },
  samplers: ['DPM++ 2M', 'Euler a', 'Euler', 'DDIM'].map((name) => ({ name })),
  schedulers: ['Automatic', 'Uniform', 'Karras', 'Exponential', 'SGM Uniform'].map((label) => ({
    name: label.toLowerCase().replace(' ', '_'),
    label,
  })),
};

const DEMO: Model = {
  title: 'impasto-demo.safetensors [0123456789]',
  name: 'impasto-demo',
  hash: '0123456789',
  sha256: null,
  bytes: 30_000_000,
  native_width: NATIVE,
  native_height: NATIVE,
  cfg_scale: 4,
  problem: null,
  is_default: true,
};

/** A model whose header nobody has read yet. */
const unread = (name: string): Model => ({
  ...DEMO,
  title: `${name}.safetensors`,
  name,
  hash: null,
  native_width: null,
  native_height: null,
  cfg_scale: null,
  is_default: false,
});

const MODELS: Model[] = [unread('damaged'), unread('tiny'), DEMO];

/** What a model's header tells. */
function readHeader(title: string): Model | undefined {
  const model = MODELS.find((one) => one.title === title);
  if (model?.name === 'damaged') model.problem = 'the file ends in the middle of its header';
  else if (model && model.native_width === null)
    Object.assign(model, { native_width: 64, native_height: 64, cfg_scale: 3.5 });
  return model;
}

export class MockServer {
  #jobs: MockJob[] = [];
  #working = false;

  async answer(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const parts = pathname.split('/').filter(Boolean);
    if (parts[0] !== 'api' && parts[0] !== 'sdapi') return false;
    const [, , resource, id = '', action = ''] = parts;
    if (pathname.endsWith('/png-info'))
      json(response, 200, { info: infotextOf((await read<{ image: string }>(request)).image) });
    else if (parts[0] === 'sdapi') json(response, 200, null);
    else if (resource === 'info') json(response, 200, INFO);
    else if (resource === 'models' && id === 'info')
      json(response, 200, readHeader(searchParams.get('name') ?? DEMO.title));
    else if (resource === 'models') json(response, 200, MODELS);
    else if (resource === 'jobs' && id === '' && request.method === 'POST')
      this.#submit(await read<PageRequest>(request), response);
    else if (resource === 'jobs' && id === '') json(response, 200, this.#jobs.map(view).reverse());
    else this.#answerJob(id, action, parts[5] ?? '', request, response);
    return true;
  }

  #answerJob(id: string, action: string, rest: string, request: IncomingMessage, response: ServerResponse) {
    const job = this.#jobs.find((one) => one.id === id);
    if (!job) json(response, 404, { detail: 'job not found' });
    else if (action === 'events') this.#listen(job, response);
    else if (action === 'images') this.#image(job, rest, response);
    else if (action === 'interrupt' || action === 'skip') this.#end(job, action, response);
    else if (request.method === 'DELETE') this.#end(job, 'cancel', response);
    else json(response, 200, view(job));
  }

  #submit(asked: PageRequest, response: ServerResponse) {
    if (asked.steps < 1 || asked.steps > INFO.limits.max_steps) {
      const msg = `steps ${asked.steps} is out of range: allowed are 1 to ${INFO.limits.max_steps}`;
      json(response, 422, { detail: [{ loc: ['body', 'steps'], msg, type: 'value_error' }] });
      return;
    }
    const native =
      MODELS.find(({ title }) => title === asked.override_settings.sd_model_checkpoint)?.native_width ??
      NATIVE;
    const id = (this.#jobs.length + 1).toString(16).padStart(16, '0');
    const job: MockJob = {
      id,
      state: 'queued',
      position: this.#jobs.filter((one) => !FINAL.has(one.state)).length,
      step: 0,
      steps: asked.steps,
      batches_done: 0,
      batch_count: asked.n_iter,
      progress: 0,
      elapsed: 0,
      eta: null,
      prompt: asked.prompt,
      negative_prompt: asked.negative_prompt,
      model: null,
      preview: null,
      images: [],
      comments: [],
      interrupted: false,
      error: null,
      events: `/api/v1/jobs/${id}/events`,
      request: { ...asked, seed: asked.seed < 0 ? Math.floor(Math.random() * 2 ** 32) : asked.seed },
      width: asked.width ?? native,
      height: asked.height ?? native,
      listeners: new Set(),
      clear: [],
      ending: null,
    };
    this.#jobs.push(job);
    json(response, 202, { id: job.id, state: job.state });
    void this.#work();
  }

  async #work() {
    if (this.#working) return;
    this.#working = true;
    for (let job = this.#jobs.find(queued); job; job = this.#jobs.find(queued)) await this.#run(job);
    this.#working = false;
  }

  async #run(job: MockJob) {
    const { n_iter: batches, steps } = job.request;
    job.state = 'running';
    tell(job, 'started', view(job));
    await pause(STEP_MS * 4);
    for (let batch = 0; batch < batches && job.ending !== 'interrupt'; batch += 1) {
      job.ending = null;
      for (job.step = 0; job.step < steps && job.ending === null;) {
        await pause(STEP_MS);
        job.step += 1;
        job.progress = (batch + job.step / steps) / batches;
        job.eta = ((batches - batch) * steps - job.step) * (STEP_MS / 1000);
        tell(job, 'step', view(job));
        const preview = drawPicture({
          ...job.request,
          width: job.width / 2,
          height: job.height / 2,
          clear: job.step / steps,
        });
        tell(job, 'preview', { image: `data:image/png;base64,${preview.toString('base64')}` });
      }
      if (job.ending === 'cancel' || job.request.prompt.includes('fail')) break;
      finishBatch(job);
      job.batches_done += 1;
    }
    job.state = job.ending === 'cancel' ? 'cancelled' : 'done';
    if (job.request.prompt.includes('fail')) {
      job.state = 'failed';
      job.error =
        'the model gave values that are not numbers at step 3 (NaN); try another model or another precision';
    }
    tell(job, { done: 'finished', failed: 'failed', cancelled: 'cancelled' }[job.state], view(job));
    for (const listener of job.listeners) listener.end();
  }

  #end(job: MockJob, how: 'interrupt' | 'skip' | 'cancel', response: ServerResponse) {
    job.ending = how;
    job.interrupted = how !== 'cancel';
    if (job.state === 'queued') job.state = 'cancelled';
    json(response, 200, view(job));
  }

  #listen(job: MockJob, response: ServerResponse) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    job.listeners.add(response);
    response.on('close', () => job.listeners.delete(response));
    tell(job, job.state === 'queued' ? 'queued' : 'started', view(job));
  }

  #image(job: MockJob, file: string, response: ServerResponse) {
    const { request, width, height } = job;
    const image = job.images[parseInt(file)];
    if (!image) return json(response, 404, { detail: 'picture not found' });
    response.writeHead(200, { 'content-type': 'image/png' });
    response.end(
      drawPicture({ ...image, prompt: request.prompt, width, height, clear: job.clear[image.index] ?? 1 }),
    );
  }
}

const queued = (job: MockJob) => job.state === 'queued';

function finishBatch(job: MockJob) {
  const { request } = job;
  for (let count = 0; count < request.batch_size; count += 1) {
    const index = job.images.length;
    const seed = request.seed + index;
    const negative = request.negative_prompt ? `\nNegative prompt: ${request.negative_prompt}` : '';
    const facts = `Steps: ${request.steps}, Sampler: ${request.sampler_name}, Schedule type: ${request.scheduler}, CFG scale: ${request.cfg_scale}, Seed: ${seed}, Size: ${job.width}x${job.height}, Model hash: 0123456789, Model: impasto-demo, Version: v0.1.0`;
    job.clear.push(job.step / job.steps);
    job.images.push({
      index,
      url: `/api/v1/jobs/${job.id}/images/${index}.png`,
      seed,
      subseed: 0,
      infotext: `${request.prompt}${negative}\n${facts}`,
    });
  }
}

function view({
  request: _request,
  listeners: _listeners,
  clear: _clear,
  ending: _ending,
  ...job
}: MockJob): Job {
  return job;
}

function tell(job: MockJob, event: string, data: unknown) {
  for (const listener of job.listeners) listener.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function json(response: ServerResponse, status: number, body: unknown) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** Of a picture as a `data:` link. */
function infotextOf(image: string): string {
  return readInfotext(Buffer.from(image.slice(image.indexOf(',') + 1), 'base64'));
}

async function read<T>(request: IncomingMessage): Promise<T> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as T;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
