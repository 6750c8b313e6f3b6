/* Of build.js: what stands on the client's outside. */
import { readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const adapters = ['react', 'react-query', 'swr', 'optimistic', 'vue'];
const others = ['context', 'status', 'status-vue', 'testing'];
/* A page has one of each of these: two copies of a context would be two contexts. */
const shared = ['./context.js', './react.js', './vue.js'];
const ofReact = ['context', 'react', 'react-query', 'swr', 'optimistic', 'status'];

/* Their objects are the API's: no member is shortened. */
const plain = { mangleProps: undefined, mangleCache: undefined, format: 'esm', packages: 'external' };

export async function buildAdapters(common) {
  await build({ ...common, ...plain, entryPoints: [...adapters, ...others].map((name) => `src/${name}.ts`), outdir: 'dist', external: shared });
}

/** Once they are minified. */
export async function weighAdapters(common) {
  // what a page pays for one beside the core and its peers, with the files that adapters have in common: for size-limit
  await build({ ...common, ...plain, entryPoints: adapters.map((name) => `dist/${name}.js`), outdir: 'node_modules/.cache/size' });
  // a server component that imports them is told where the browser's part begins; a minifier takes it for a word without effect
  for (const name of ofReact) writeFileSync(`dist/${name}.js`, `"use client";${readFileSync(`dist/${name}.js`, 'utf8')}`);
}
