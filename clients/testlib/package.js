/* A package as who installs it gets it: packed by npm, looked into, and installed in a folder of its own. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TARBALL_MOST_BYTES = 300 * 1024;

const quiet = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };

/** Runs a program; its standard output. What it says beside that is shown. */
export const run = (program, args, options) => execFileSync(program, args, { ...quiet, ...options });

export class Packed {
  /**
   * Of what is built already in `folder`. Programs of the package's own dependencies, and types of its peers, are found from where it is
   * installed, because that is a folder in `node_modules/.cache`.
   */
  constructor(folder) {
    this.folder = folder;
    this.manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    mkdirSync(join(folder, 'node_modules/.cache'), { recursive: true });
    this.consumer = mkdtempSync(join(folder, 'node_modules/.cache/consumer-'));
    // what is built is not built again, under those who are reading it
    const args = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', this.consumer];
    [this.packed] = JSON.parse(run('npm', args, { cwd: folder }));
    this.tarball = join(this.consumer, this.packed.filename);
    this.write('package.json', JSON.stringify({ private: true, type: 'module' }));
    run('npm', ['install', '--silent', '--offline', '--no-audit', '--no-fund', '--legacy-peer-deps', `./${this.packed.filename}`], { cwd: this.consumer });
  }

  get installed() {
    return join(this.consumer, 'node_modules', this.manifest.name);
  }

  /** A file of the consumer's. */
  write(name, text) {
    mkdirSync(dirname(join(this.consumer, name)), { recursive: true });
    writeFileSync(join(this.consumer, name), text);
  }

  /** The names under which it is imported, without package.json. */
  get names() {
    const paths = Object.keys(this.manifest.exports).filter((path) => path !== './package.json');
    return paths.map((path) => this.manifest.name + path.slice(1));
  }

  /** It is small, has these files and no others, tells nothing of the machine that packed it, and is installed as the README says. */
  checkFiles(expected) {
    assert.ok(this.packed.size <= TARBALL_MOST_BYTES, `${this.packed.size} bytes`);
    console.log(`${this.packed.filename}: ${this.packed.size} bytes of ${TARBALL_MOST_BYTES}, ${this.packed.files.length} files`);
    const paths = this.packed.files.map(({ path }) => path);
    assert.deepEqual(paths.sort(), [...expected].sort());
    const tells = paths.filter((path) => {
      const text = readFileSync(join(this.installed, path), 'utf8');
      return text.includes(root.replace(/\/$/, '')) || /sourceMappingURL|file:\/\/\//.test(text);
    });
    assert.deepEqual(tells, [], 'files that have paths of this machine, or of source maps');
    assert.ok(readFileSync(join(this.folder, 'README.md'), 'utf8').includes(`/${this.packed.filename}\n`), 'what the README says to install');
    const { exports, bin = {} } = this.manifest;
    const named = [...Object.values(exports).flatMap((one) => (typeof one === 'string' ? one : Object.values(one))), ...Object.values(bin)];
    assert.deepEqual(named.map((path) => path.replace(/^\.\//, '')).filter((path) => !paths.includes(path)), [], 'named, and not there');
  }

  /** What publint has to say of it: nothing. @param {typeof import('publint').publint} publint */
  async checkManifest(publint) {
    const { messages } = await publint({ pkgDir: this.installed, level: 'suggestion', strict: true, pack: false });
    assert.deepEqual(messages, []);
  }

  /** Everything can be imported; a program of CommonJS gets it too, or is told how. */
  checkImports() {
    const names = JSON.stringify(this.names);
    run(process.execPath, ['--input-type=module', '-e', `for (const name of ${names}) await import(name)`], { cwd: this.consumer });
    const required = `for (const name of ${names}) try { require(name) } catch (error) { console.log(error.code, error.message) }`;
    const told = run(process.execPath, ['--input-type=commonjs', '-e', required], { cwd: this.consumer });
    for (const line of told.split('\n').filter((one) => one.startsWith('ERR_'))) assert.match(line, /^ERR_REQUIRE_ESM /);
    assert.ok(told === '' || told.includes('import()'), told); // Node 18 says so, Node 20.19 and later just do it
  }

  /**
   * Its types are found and right for who compiles for Node and for who bundles: of all its names, and by the program `use`. To require it in
   * CommonJS is an error.
   */
  checkTypes(use, options = []) {
    const program = `use${extname(use)}`;
    copyFileSync(use, join(this.consumer, program));
    this.write('all.mts', this.names.map((name, i) => `import * as m${i} from ${JSON.stringify(name)};\nexport const n${i}: {} = m${i};`).join('\n'));
    this.write('common.cts', `// @ts-expect-error: it has modules of ECMAScript alone\nimport m = require(${JSON.stringify(this.manifest.name)});\nexport const n: {} = m;`);
    const tsc = (...args) => {
      const common = ['--noEmit', '--strict', '--target', 'es2022', '--skipLibCheck', '--types', 'node', ...options];
      return spawnSync(join(this.folder, 'node_modules/.bin/tsc'), [...common, ...args], { cwd: this.consumer, encoding: 'utf8' }).stdout;
    };
    assert.equal(tsc('--module', 'node16', 'all.mts', program, 'common.cts'), '', 'for Node');
    assert.equal(tsc('--module', 'esnext', '--moduleResolution', 'bundler', 'all.mts', program), '', 'for a bundler');
  }

  remove() {
    rmSync(this.consumer, { recursive: true, force: true });
  }
}

/** The API documentation would be made without a warning: every name that is exported says what it is. */
export function checkDocs(folder) {
  run(process.execPath, [join(folder, 'node_modules/typedoc/bin/typedoc'), '--emit', 'none', '--logLevel', 'Warn'], { cwd: folder });
}
