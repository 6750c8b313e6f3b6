/* A proxy between a client and the broker that does what networks do: every fault can be switched on and off while it runs. */
import { connect, createServer } from 'node:net';

const HEAD_END = '\r\n\r\n';

export class Proxy {
  /** Before `port` of this machine. */
  static async start(port) {
    const proxy = new Proxy();
    proxy.target = port;
    proxy.server = createServer((socket) => proxy.#take(socket));
    await new Promise((done) => proxy.server.listen(0, '127.0.0.1', done));
    return proxy;
  }

  /** Each byte comes so much later, in ms, in both directions. */
  latencyMs = 0;
  /** The first byte of a connection waits so long. */
  handshakeMs = 0;
  /** 'refuse': ends new connections; 'hang': takes them and never answers; 'bad-gateway': answers 502 to each request. */
  mode = 'pass';
  /** Takes `Upgrade` out of requests, as proxies do that know nothing of WebSocket. */
  stripsUpgrade = false;
  /** Collects what answers a GET of the paths that match until its end, which a stream does not have: nothing of it comes. */
  collects = undefined;
  /** Answers 502 to the paths that match. */
  blocks = undefined;
  /** Connections that were made, by the path of their first request. */
  seen = [];
  /** How many pieces have come from the broker. */
  pieces = 0;
  #pairs = new Set();

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  get connections() {
    return this.#pairs.size;
  }

  /** Ends what is open, at once and without a word; `count`: only so many, whichever. */
  drop(count = Infinity) {
    const all = [...this.#pairs].sort(() => Math.random() - 0.5);
    for (const pair of all.slice(0, count)) pair.end();
  }

  /** What is open stays so, and nothing comes through it any more. New connections are not concerned. */
  halfOpen(count = Infinity) {
    for (const pair of [...this.#pairs].slice(0, count)) pair.isDead = true;
  }

  /** Of what the broker sends next on each connection only the first half comes, and then the end. */
  truncate(count = Infinity) {
    for (const pair of [...this.#pairs].slice(0, count)) pair.isCut = true;
  }

  async stop() {
    this.drop();
    await new Promise((done) => this.server.close(done));
  }

  #take(client) {
    client.on('error', () => {});
    if (this.mode === 'refuse') return client.destroy();
    const pair = { isDead: this.mode === 'hang', isCut: false, isCollected: false };
    const upstream = connect(this.target, '127.0.0.1');
    pair.end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    this.#pairs.add(pair);
    upstream.on('error', pair.end);
    client.on('close', pair.end);
    upstream.on('close', () => (pair.isDead ? undefined : this.#later(pair, 'down', pair.end)));
    let isFirst = true;
    client.on('data', (bytes) => {
      let text = bytes.toString('latin1');
      const line = /^(?:GET|POST|OPTIONS) (\S+) HTTP/.exec(text);
      if (line) {
        this.seen.push(line[1]);
        pair.isCollected = text.startsWith('GET') && !!this.collects?.test(line[1]);
        if (this.mode === 'bad-gateway' || this.blocks?.test(line[1])) {
          const body = '<html>502 Bad Gateway</html>';
          client.end(`HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\nConnection: close${HEAD_END}${body}`);
          return;
        }
        if (this.stripsUpgrade) text = text.replace(/^(Upgrade|Connection): .*\r\n/gim, '');
      }
      this.#later(pair, 'up', () => upstream.write(Buffer.from(text, 'latin1')), isFirst ? this.handshakeMs : 0);
      isFirst = false;
    });
    upstream.on('data', (bytes) => {
      this.pieces++;
      if (pair.isCollected) return;
      const isCut = pair.isCut;
      this.#later(pair, 'down', () => {
        client.write(isCut ? bytes.subarray(0, bytes.length / 2) : bytes);
        if (isCut) client.end(pair.end);
      });
    });
  }

  /** One after the other, in each direction of its own. */
  #later(pair, way, run, moreMs = 0) {
    const isOn = () => !pair.isDead && this.#pairs.has(pair);
    const dueMs = Date.now() + this.latencyMs + moreMs;
    pair[way] = (pair[way] ?? Promise.resolve()).then(async () => {
      const leftMs = dueMs - Date.now();
      if (leftMs > 0) await new Promise((done) => setTimeout(done, leftMs));
      if (isOn()) run();
    });
  }
}
