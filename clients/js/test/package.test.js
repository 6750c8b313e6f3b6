/* What is packed, as who installs it gets it. */
// ctest: cost=25 timeout=600
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { checkDocs, Packed } from '../../testlib/package.js';

const folder = fileURLToPath(new URL('..', import.meta.url));
/* What is loaded by another one, or by a <script>. */
const unnamed = ['parts.js', 'tabs.js', 'context.js', 'hookwire.iife.js'];

let packed;
before(() => (packed = new Packed(folder)));
after(() => packed.remove());

test('it has what it names, small, and nothing else', () => {
  const named = Object.values(packed.manifest.exports).map((one) => (one.default ?? one).slice(2));
  const types = readdirSync(`${folder}/src`).map((name) => `dist/${name.replace(/\.ts$/, '.d.ts')}`);
  packed.checkFiles(['README.md', 'ADAPTERS.md', ...named, ...unnamed.map((name) => `dist/${name}`), ...types]);
});

test('publint has nothing to say', () => packed.checkManifest(publint));

test('every name can be imported', () => packed.checkImports());

test('the types are found and right, installed', () => packed.checkTypes(`${folder}/test/types.test-d.tsx`, ['--jsx', 'react-jsx']));

test('every name of the API says what it is', () => checkDocs(folder));
