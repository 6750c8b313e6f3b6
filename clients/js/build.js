/* Builds dist/: ESM for bundlers and Node, one file for <script>, and the types. Prints nothing unless something is wrong. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { minify } from 'terser';
import { buildAdapters, weighAdapters } from './build-adapters.js';

/* Members that only this package's own objects have, and that never stand on the wire or in the API: they are shortened. */
const internals =
  /^(_.*|subs|wanted|refused|linger|kill|later|cancel|need|attempt|isValid|onToken|refreshAt|fall|onUp|onStop|onMessage|core|base|receive|sync|probe|live|jitterMs|opened|ended|settle|link|settled|restart|onTold|onRest|onReady|leave|show|ends|silentMs|wire|http|catchUp|check|listeners|auth|open|client|options|asked|timer|query|consume)$/;

const entries = ['index', 'ws', 'parts', 'tabs'];
const common = { bundle: true, target: 'es2022', logLevel: 'warning', legalComments: 'none', minify: true, mangleProps: internals };

/** Minifies once more what esbuild has left. */
async function squeeze(file, module) {
  const { code } = await minify(readFileSync(file, 'utf8'), {
    module,
    ecma: 2020,
    compress: { passes: 10, unsafe_arrows: true, unsafe_methods: true, pure_getters: true },
  });
  writeFileSync(file, code);
}

rmSync('dist', { recursive: true, force: true });
await build({ ...common, entryPoints: entries.map((name) => `src/${name}.ts`), format: 'esm', outdir: 'dist', external: ['./parts.js', './tabs.js'], mangleCache: {} }); // one cache: parts.js has hold of the core of ws.js
await build({ ...common, entryPoints: ['src/index.ts'], format: 'iife', globalName: 'Hookwire', outfile: 'dist/hookwire.iife.js' });
await buildAdapters(common);
for (const name of readdirSync('dist').filter((name) => name.endsWith('.js'))) await squeeze(`dist/${name}`, !name.includes('iife'));
await weighAdapters(common);
execFileSync('node_modules/.bin/tsc', ['-p', 'tsconfig.json', '--emitDeclarationOnly', '--outDir', 'dist'], { stdio: 'inherit' });
