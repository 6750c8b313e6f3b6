/* As much of Web Locks as tabs need, for programs that have none: exclusive locks, `signal` and `steal`. */
export class Locks {
  #held = new Map(); // name: what ends it
  #queue = new Map();

  request(name, options, run = options) {
    const { signal, steal } = typeof options === 'function' ? {} : options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new DOMException('aborted', 'AbortError'));
      const entry = { run, resolve, reject };
      signal?.addEventListener('abort', () => {
        const queue = this.#queue.get(name) ?? [];
        if (!queue.includes(entry)) return; // it has the lock
        queue.splice(queue.indexOf(entry), 1);
        reject(new DOMException('aborted', 'AbortError'));
      });
      if (!this.#queue.has(name)) this.#queue.set(name, []);
      if (steal) {
        this.#held.get(name)?.reject(new DOMException('stolen', 'AbortError'));
        this.#held.delete(name);
        this.#queue.get(name).unshift(entry);
      } else this.#queue.get(name).push(entry);
      queueMicrotask(() => this.#next(name));
    });
  }

  get names() {
    return [...this.#held.keys()];
  }

  #next(name) {
    if (this.#held.has(name)) return;
    const entry = this.#queue.get(name).shift();
    if (!entry) return;
    this.#held.set(name, entry);
    const free = () => {
      if (this.#held.get(name) !== entry) return; // stolen
      this.#held.delete(name);
      this.#next(name);
    };
    Promise.resolve(entry.run({ name })).then((value) => (free(), entry.resolve(value)), (error) => (free(), entry.reject(error)));
  }
}
