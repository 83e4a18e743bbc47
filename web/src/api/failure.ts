// What went wrong, in words a user can act on. Knows the shapes in which the server reports errors: A1111's two
// (`detail` as a list of fields, or `error` with `detail` and `errors`) and a plain `detail` text.

export class Failure extends Error {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The request's field at fault, if the server named one. */
  readonly field: string | null;

  constructor(message: string, status: number, field: string | null = null) {
    super(message);
    this.name = 'Failure';
    this.status = status;
    this.field = field;
  }

  /** What was caught, whatever it is. */
  static of(error: unknown): Failure {
    return error instanceof Failure ? error : new Failure(String(error), 0);
  }
}

/** What users know the fields of a request as. */
const FIELD_LABELS: Record<string, string> = {
  prompt: 'Prompt',
  negative_prompt: 'Negative prompt',
  sampler_name: 'Sampling method',
  scheduler: 'Schedule type',
  steps: 'Sampling steps',
  width: 'Width',
  height: 'Height',
  size: 'Size',
  cfg_scale: 'CFG Scale',
  seed: 'Seed',
  batch_size: 'Batch size',
  n_iter: 'Batch count',
  sd_model_checkpoint: 'Model',
};

const STATUS_WORDS: Record<number, string> = {
  401: 'The server asks for a user name and password. Reload the page to enter them.',
  403: 'The server refused this request because of where it came from.',
  404: 'The server does not know this.',
  413: 'The request is too large for the server.',
  429: 'The queue is full. Wait until a job is finished, then try again.',
  503: 'The server is starting or shutting down. Try again in a moment.',
};

/** A job's own report of why it failed. */
export function jobFailure(message: string | null): Failure {
  return new Failure(sentence(message ?? 'the job failed', undefined), 500);
}

export function unreachable(): Failure {
  return new Failure(
    'The server cannot be reached. Check that Impasto is running and your network is up.',
    0,
  );
}

/** `body` is what came with an HTTP status that says no: JSON, text, or nothing. */
export function failureFromBody(status: number, body: unknown): Failure {
  const { detail, errors } = (body ?? {}) as { detail?: unknown; errors?: unknown };
  if (Array.isArray(detail) && detail.length > 0) {
    const [{ loc, msg }] = detail as [{ loc?: unknown[]; msg?: unknown }];
    const field = loc?.findLast((part) => typeof part === 'string' && part !== 'body') as string | undefined;
    return new Failure(sentence(String(msg ?? 'is not valid'), field), status, field ?? null);
  }
  const text = [detail, errors].find((one) => typeof one === 'string' && one !== '') as string | undefined;
  if (text === undefined || status === 429)
    return new Failure(STATUS_WORDS[status] ?? `The server answered with status ${status}.`, status);
  const field = Object.keys(FIELD_LABELS).find((name) => text.startsWith(`${name} `));
  return new Failure(sentence(text, field), status, field ?? null);
}

/** The server's message with the field by its label: "steps 0 is out of range" reads "Sampling steps: 0 is out of range." */
function sentence(message: string, field: string | undefined): string {
  const label = field && (FIELD_LABELS[field] ?? field);
  const rest = field && message.startsWith(`${field} `) ? message.slice(field.length + 1) : message;
  const text = label ? `${label}: ${rest}` : rest.charAt(0).toUpperCase() + rest.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
