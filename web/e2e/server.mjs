// Gives the browser tests a server: one that runs already (IMPASTO_URL), a binary to start (IMPASTO_BIN), or, without
// either, the built page with the stand-in server of `mock/`.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { preview } from 'vite';

const START_SECONDS = 60;

/** @returns {Promise<{ url: string, stop: () => Promise<void> }>} */
export async function startServer() {
  const { IMPASTO_URL: url, IMPASTO_BIN: binary } = process.env;
  if (url) return { url: url.endsWith('/') ? url : `${url}/`, stop: async () => {} };
  return binary ? startBinary(binary) : startMock();
}

async function startMock() {
  const server = await preview({
    mode: 'mock',
    logLevel: 'warn',
    preview: { port: await freePort(), host: '127.0.0.1' },
  });
  return { url: server.resolvedUrls.local[0], stop: () => server.close() };
}

async function startBinary(binary) {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'impasto-e2e-'));
  await addModels(folder);
  // Below a subpath, so that a link that only works at the root shows.
  const options = ['serve', '--port', String(port), '--data-dir', folder, '--subpath', '/studio'];
  const server = spawn(binary, options, { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  const stop = async () => {
    server.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}/studio/`;
  for (let waited = 0; waited < START_SECONDS * 4; waited += 1) {
    if (server.exitCode !== null) break;
    if (await answers(url)) return { url, stop };
    await pause(250);
  }
  await stop();
  throw new Error(`${binary} gave no page at ${url} within ${START_SECONDS} s`);
}

/** A tiny model with facts of its own, and one that cannot be read, beside the program's own, which is used. */
async function addModels(root) {
  const models = join(root, 'models', 'Stable-diffusion');
  const tiny = new URL('../../goldens/tiny.safetensors', import.meta.url);
  await mkdir(models, { recursive: true });
  await writeFile(join(models, 'damaged.safetensors'), 'no model');
  await copyFile(tiny, join(models, 'tiny.safetensors'));
  await writeFile(join(models, 'tiny.json'), JSON.stringify({ 'impasto.cfg_scale': 3.5 }));
  await writeFile(join(root, 'config.json'), JSON.stringify({ sd_model_checkpoint: 'impasto-demo' }));
}

async function answers(url) {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
