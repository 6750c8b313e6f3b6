// Runs the reference validator, validate-ws-event.js, over many cases in one process and as it stands: each case gets the
// script in a world of its own, whose process, console and standard input are ours.
// Reads [{"args":["…"]} or {"stdin":"base64"}, …] and writes [{"code":0,"stdout":"…","stderr":"…"}, …].
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const script = new vm.Script(fs.readFileSync(path.join(__dirname, 'validate-ws-event.js'), 'utf8'));
const EXIT = new Error('exit');

// What a terminal would show: half a surrogate pair leaves as U+FFFD.
const line = (parts) => Buffer.from(parts.join(' ') + '\n').toString();

async function run(test) {
  const result = { code: null, stdout: '', stderr: '' };
  const write = (stream) => (...parts) => {
    if (result.code === null)
      result[stream] += line(parts);
  };
  const exit = (code) => {
    if (result.code === null) // the script's own catch may call it again
      result.code = code;
    throw EXIT;
  };
  const stdin = (async function* () {
    yield Buffer.from(test.stdin || '', 'base64');
  })();
  const world = {
    Buffer,
    console: { log: write('stdout'), error: write('stderr') },
    process: { argv: ['node', 'validate-ws-event.js', ...(test.args || [])], stdin, exit },
  };
  script.runInNewContext(world);
  for (let turn = 0; turn < 100 && result.code === null; turn++)
    await new Promise(setImmediate);
  return result;
}

async function main() {
  const results = [];
  process.on('unhandledRejection', (reason) => { // main() of the script ends by our exception
    if (reason !== EXIT)
      throw reason;
  });
  for (const test of JSON.parse(fs.readFileSync(0, 'utf8')))
    results.push(await run(test));
  process.stdout.write(JSON.stringify(results));
}

main();
