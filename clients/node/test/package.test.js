/* What is packed, as who installs it gets it. */
// ctest: cost=15 timeout=600
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { checkDocs, Packed, run } from '../../testlib/package.js';

const folder = fileURLToPath(new URL('..', import.meta.url));
const modules = ['index', 'express', 'validate'];

let packed;
before(() => {
  run('npm', ['run', '--silent', 'types'], { cwd: folder });
  packed = new Packed(folder);
});
after(() => packed.remove());

test('it has what it names, small, and nothing else', () =>
  packed.checkFiles(['README.md', 'package.json', 'bin/validate-ws-event.js', ...modules.flatMap((name) => [`${name}.js`, `types/${name}.d.ts`])]));

test('publint has nothing to say', () => packed.checkManifest(publint));

test('every name can be imported', () => packed.checkImports());

test('the types are found and right, installed', () => packed.checkTypes(`${folder}/test/types/use.ts`));

test('every name of the API says what it is', () => checkDocs(folder));
