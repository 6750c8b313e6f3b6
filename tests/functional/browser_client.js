// A browser with tabs, driven line by line: node browser_client.js CHROMIUM. Each line of standard input is an order, each line of
// standard output its answer, {"value"} or {"failed"}:
//   {"tab":"a","open":URL}          a tab of that name shows the page
//   {"tab":"a","run":"return 1"}    the body of an async function, run in the page
//   {"tab":"a","complaints":true}   what it threw, and the errors and warnings of its console, since this was last asked
//   {"tab":"a","shut":true}         the tab is shut
//   {"cookie":{…}}                  a cookie that the user has from now on
//   {"fresh":true}                  all tabs are shut, and what comes is another user's: no cookies
// What a page threw and nobody caught fails the next order for its tab. In each page there are `log`, an array, `said()`, a promise of
// its first entry, which is taken out, and follow(url, options, names...): an EventSource whose doings are logged, as sse_client.js prints
// them. The end of standard input ends the browser.
const { chromium } = require('playwright-core');

// runs in the page
function prepare() {
	const log = (globalThis.log = []);
	globalThis.said = async () => {
		while (!log.length) await new Promise((done) => setTimeout(done, 5));
		return log.shift();
	};
	globalThis.follow = (url, options, ...names) => {
		const source = new EventSource(url, options);
		source.onopen = () => log.push({ open: true });
		source.onerror = () => log.push({ error: true, state: source.readyState });
		for (const name of ['message', ...names]) {
			source.addEventListener(name, (event) => log.push({ name, data: JSON.parse(event.data), id: event.lastEventId }));
		}
		return source;
	};
}

async function main([executablePath]) {
	const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
	const tabs = new Map();
	const thrown = new Map();
	const complained = new Map();
	let context;

	const obey = async ({ tab, open, run, complaints, shut, cookie, fresh }) => {
		if (fresh) {
			await context?.close();
			context = await browser.newContext({ ignoreHTTPSErrors: true });
			return context.addInitScript(prepare);
		}
		if (cookie) return context.addCookies([cookie]);
		if (open) {
			const page = await context.newPage();
			complained.set(tab, []);
			page.on('pageerror', (error) => {
				thrown.set(tab, String(error));
				complained.get(tab).push(String(error));
			});
			page.on('console', (message) => /^(error|warning)$/.test(message.type()) && complained.get(tab).push(message.text()));
			tabs.set(tab, page);
			await page.goto(open);
			return null;
		}
		if (complaints) return complained.get(tab).splice(0);
		if (shut) return tabs.get(tab).close();
		return tabs.get(tab).evaluate(`(async () => { ${run} })()`);
	};
	process.stdout.write('{"ready":true}\n');
	for await (const line of require('node:readline').createInterface({ input: process.stdin })) {
		const order = JSON.parse(line);
		let answer;
		try {
			answer = { value: (await obey(order)) ?? null };
		} catch (error) {
			answer = { failed: String(error) };
		}
		if (thrown.has(order.tab)) answer = { failed: `thrown in the page: ${thrown.get(order.tab)}` };
		thrown.delete(order.tab);
		process.stdout.write(JSON.stringify(answer) + '\n');
	}
	await browser.close();
}

main(process.argv.slice(2)).then(() => process.exit(0));
