// Hooks the stand-in server into Vite's own, for development and for `vite preview`.
import type { Connect, Plugin } from 'vite';
import { MockServer } from './server.ts';

export function mockServer(): Plugin {
  const server = new MockServer();
  const middleware: Connect.NextHandleFunction = (request, response, next) => {
    server.answer(request, response).then((answered) => answered || next(), next);
  };
  return {
    name: 'impasto-mock',
    configureServer: ({ middlewares }) => void middlewares.use(middleware),
    configurePreviewServer: ({ middlewares }) => void middlewares.use(middleware),
  };
}
