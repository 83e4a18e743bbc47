// Short names for what the server's description (`schema.d.ts`) calls by its path.
import type { components } from './schema';

type Schemas = components['schemas'];

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

// The description makes fields optional that may be null; the server always sends them.
export type Job = Required<Omit<Schemas['Job'], 'state'>> & { state: JobState };
export type JobImage = Schemas['JobImage'];
export type JobPreview = Schemas['JobPreview'];
export type JobRequest = Schemas['JobSubmission'];
export type Model = Required<Schemas['Model']>;
export type Info = Schemas['ServerInfo'];
