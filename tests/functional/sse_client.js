// An EventSource as a page would use it: node sse_client.js npm|native URL NAME... prints {"open":true} whenever it is
// connected, then each message and each event called NAME as {"name","data","id"}, and {"error":true,"state":N} when it is cut off
// (0: it comes back by itself, 2: it does not). The end of standard input closes it. "native" is Node's own and wants
// --experimental-eventsource.
const [kind, url, ...names] = process.argv.slice(2);
const Source = kind === 'npm' ? require('eventsource').EventSource : globalThis.EventSource;
const source = new Source(url);
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

source.onopen = () => say({ open: true });
source.onerror = (event) => say({ error: true, state: source.readyState, code: event.code });
for (const name of ['message', ...names]) {
	source.addEventListener(name, (event) => say({ name, data: JSON.parse(event.data), id: event.lastEventId }));
}
process.stdin.resume();
process.stdin.on('end', () => {
	source.close();
	process.exit(0);
});
