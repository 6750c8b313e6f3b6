/* node --import ./testlib/react18.js: whoever asks for React is given version 18. */
import Module, { register } from 'node:module';

const old = (name) => name.replace(/^react(-dom)?(?=\/|$)/, (found) => `${found}18`);
const resolve = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => resolve.call(Module, old(name), ...rest);
register(`data:text/javascript,${encodeURIComponent(`
  const old = ${old};
  export const resolve = (name, context, next) => next(old(name), context);
`)}`, import.meta.url);
