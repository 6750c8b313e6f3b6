// npm's `ws` as a browser would use WebSocket: node ws_client.js URL [MESSAGE...] sends each message once open, prints
// {"open":true}, then every message that comes, one JSON a line, and at last {"closed":CODE,"reason":TEXT}.
// Each line of standard input is sent as a message; its end closes the connection.
const readline = require('node:readline');
const WebSocket = require('ws');

const [url, ...messages] = process.argv.slice(2);
const ws = new WebSocket(url);
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

ws.onopen = () => {
	say({ open: true });
	messages.forEach((message) => ws.send(message));
	const input = readline.createInterface({ input: process.stdin });
	input.on('line', (line) => ws.send(line));
	input.on('close', () => ws.close(1000));
};
ws.onmessage = (event) => say(JSON.parse(event.data));
ws.onerror = (event) => say({ error: event.message });
ws.onclose = (event) => {
	say({ closed: event.code, reason: event.reason });
	process.exit(0);
};
