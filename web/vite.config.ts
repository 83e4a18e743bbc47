// How the page is built, served while it is worked on, and tested.
//
// `npm run dev` talks to a running `impasto` (IMPASTO_URL, by default http://127.0.0.1:7860);
// `npm run dev -- --mode mock` needs none and answers from `mock/`.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { mockServer } from './mock/plugin.ts';

const server = process.env.IMPASTO_URL ?? 'http://127.0.0.1:7860';
const proxied = ['/api', '/sdapi', '/docs', '/openapi.json'];
// The server lets only its own page in, by Host and Origin.
const proxy = { target: server, changeOrigin: true, headers: { origin: new URL(server).origin } };

export default defineConfig(({ mode }) => ({
  // Relative, so that the same bundle works below any path.
  base: './',
  plugins: [svelte(), ...(mode === 'mock' ? [mockServer()] : [])],
  build: {
    target: ['chrome123', 'firefox128', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: mode === 'mock' ? {} : Object.fromEntries(proxied.map((path) => [path, proxy])),
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
}));
