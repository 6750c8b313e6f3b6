/* node --import ./testlib/react18.js: whoever asks for React is given version 18, which is in react18/. */
import Module, { register } from 'node:module';
import { fileURLToPath } from 'node:url';

const folder = new URL('./react18/', import.meta.url);
const isReact = (name) => /^react(-dom)?(\/|$)/.test(name);

const there = new Module(fileURLToPath(folder));
there.paths = Module._nodeModulePaths(fileURLToPath(folder));
const resolve = Module._resolveFilename;
Module._resolveFilename = (name, parent, ...rest) => resolve.call(Module, name, isReact(name) ? there : parent, ...rest);
register(`data:text/javascript,${encodeURIComponent(`
  const isReact = ${isReact};
  export const resolve = (name, context, next) => next(name, isReact(name) ? { ...context, parentURL: ${JSON.stringify(`${folder}x.js`)} } : context);
`)}`, import.meta.url);
