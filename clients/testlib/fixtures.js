/* The protocol's fixtures (tests/fixtures/README.md), for the tests of the clients and for what stands in for a broker in tests. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../../tests/fixtures/protocol/', import.meta.url));

/** The cases of a file: `events`, `client`, `publish`, `broker`, `sse`, `http`. @returns {any[]} */
export const fixtures = (name) => JSON.parse(readFileSync(`${directory}${name}.json`, 'utf8')).cases;

/** The names of the files. */
export const fixtureFiles = () => readdirSync(directory).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));

/** The text of a case by its name, as it stands on the wire; throws if there is none. */
export function fixture(file, name) {
  const found = fixtures(file).find((one) => one.name === name);
  if (!found) throw new Error(`tests/fixtures/protocol/${file}.json has no case ${JSON.stringify(name)}`);
  return found.text;
}
