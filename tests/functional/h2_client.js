// One connection of HTTP/2, as a browser has: node h2_client.js https://HOST:PORT TOKEN REQUEST... sends all requests at once and prints a
// line of JSON for whatever comes: {"request","status","head"}, {"request","text"}, {"request","ended"}; a REQUEST is "METHOD PATH", or
// "WEBSOCKET PATH", which is RFC 8441: what comes in its frames is {"request","frame","opcode"}, and it answers pings.
// {"websockets"} says whether the peer offers these. What comes over standard input, a line of JSON {"request","send"}, is sent as text
// in a frame. The end of standard input ends it.
const http2 = require('node:http2');
const [origin, token, ...requests] = process.argv.slice(2);
const session = http2.connect(origin);
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

function frame(opcode, payload) {
	const mask = Buffer.from([1, 2, 3, 4]);
	const head = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
	head[0] |= 0x80;
	return Buffer.concat([Buffer.from([0x80 | opcode, ...head]), mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

// whole frames out of what came; returns what is left
function frames(data, each) {
	for (;;) {
		if (data.length < 2) return data;
		const long = (data[1] & 127) === 126;
		if ((data[1] & 127) === 127) throw new Error('a frame that is longer than these tests have any');
		const head = long ? 4 : 2;
		const length = long && data.length >= 4 ? data.readUInt16BE(2) : data[1] & 127;
		if (data.length < head + length) return data;
		each(data[0] & 15, data.subarray(head, head + length));
		data = data.subarray(head + length);
	}
}

const streams = {};

function begin(request) {
	const [method, path] = request.split(' ');
	const isSocket = method === 'WEBSOCKET';
	const head = { ':path': path, authorization: `Bearer ${token}` };
	Object.assign(head, isSocket ? { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13', 'sec-websocket-protocol': 'hookwire.v1' } : { ':method': method });
	const stream = session.request(head, { endStream: !isSocket });
	let left = Buffer.alloc(0);
	streams[request] = stream;
	stream.on('response', (answer) => say({ request, status: answer[':status'], head: answer }));
	stream.on('data', (data) => {
		if (!isSocket) return say({ request, text: data.toString() });
		left = frames(Buffer.concat([left, data]), (opcode, payload) => {
			if (opcode === 9) stream.write(frame(10, payload));
			say({ request, opcode, frame: opcode === 8 ? payload.readUInt16BE(0) : payload.toString() });
		});
	});
	stream.on('error', (error) => say({ request, error: error.message }));
	stream.on('close', () => say({ request, ended: true }));
}

session.on('error', (error) => say({ error: error.message }));
session.once('remoteSettings', (settings) => {
	say({ websockets: settings.enableConnectProtocol === true });
	requests.forEach(begin);
});
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
	const { request, send } = JSON.parse(line);
	streams[request].write(frame(1, Buffer.from(send)));
}).on('close', () => process.exit(0));
