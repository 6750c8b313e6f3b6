/* A program of its own, so that what is left is the client's. Prints a line for each way to close it. */
import WebSocket from 'ws';

globalThis.WebSocket ??= WebSocket;
const [url, token, bundle] = process.argv.slice(2);
const { createClient } = await import(`../dist/${bundle}.js`);

const left = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name.startsWith('TCP') || name.includes('Message'));

for (const transport of bundle === 'ws' ? ['websocket'] : ['websocket', 'sse', 'longpoll', 'polling'])
  for (const when of ['connecting', 'up', 'busy']) {
    const client = createClient({ url, transports: [transport], getToken: () => token });
    client.subscribe(['left:1', 'secret:1'], () => {});
    const up = new Promise((done) => client.onStatus(({ state }) => (state === 'online' || state === 'degraded') && done()));
    if (when !== 'connecting') await up;
    if (when === 'busy') {
      client.onPresence('room:1', () => {});
      client.snapshot('left:2', async () => 1).catch(() => {});
      client.history('left:1').catch(() => {});
      client.publish({ topic: 'left:1', event: 'ADDED', data: { entity_id: 'x', payload: {} } }).catch(() => {});
    }
    client.close();
    // sockets end after a word with the other side; who waits for a timer waits much longer
    let there = left();
    for (let i = 0; i < 100 && there.length; i++) {
      await new Promise((done) => setImmediate(() => setTimeout(done, 10)));
      there = left();
    }
    console.log(JSON.stringify({ what: `${transport} ${when}`, left: there }));
  }
