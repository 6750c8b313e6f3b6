/* A page that follows topics and writes down what it hears, for what drives the browser. Its client is `Hookwire`, of whichever bundle. */
globalThis.got = {}; // by what was followed: the `n` of its events
globalThis.offs = {}; // what ends it
globalThis.gaps = [];
globalThis.errors = [];
globalThis.states = [];

/* Timers that are still to come, of whoever began them. */
globalThis.timers = new Set();
const { setTimeout: set, clearTimeout: clear } = globalThis;
globalThis.setTimeout = (run, ms, ...rest) => {
  const timer = set(() => {
    globalThis.timers.delete(timer);
    run(...rest);
  }, ms);
  globalThis.timers.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => {
  globalThis.timers.delete(timer);
  clear(timer);
};

globalThis.connect = ({ token, ...options }) => {
  globalThis.client = globalThis.Hookwire.createClient({ ...options, getToken: () => token });
  globalThis.client.onStatus(({ state }) => globalThis.states.push(state));
};

globalThis.follow = (topic, options) => {
  const got = (globalThis.got[topic] = []);
  globalThis.offs[topic] = globalThis.client.subscribe(topic, (event) => got.push(event.data.payload.n), {
    onGap: (gap) => globalThis.gaps.push(gap),
    onError: ({ code }, name) => globalThis.errors.push(`${name} ${code}`),
    ...options,
  });
};
