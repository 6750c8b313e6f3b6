"""Chromium of the distribution, without a window, and the pages that it shows."""
import atexit
import http.server
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import threading

from .check import Failure, check
from .run import SKIPPED
from .wait import scaled

_FUNCTIONAL = pathlib.Path(__file__).resolve().parents[2] / "functional"


def chromium_or_exit():
    """The browser's path. Where there is none the test says so loudly and counts as skipped; in CI it has failed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        print("NOT RUN: there is no Chromium; scripts/dev/setup installs it", flush=True)
        sys.exit(1 if os.environ.get("CI") else SKIPPED)
    return found


class Site:
    """An origin of its own that serves an empty page under every path."""

    class _Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<!doctype html><link rel=icon href=data:,><title>a page</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._Page)
        self.origin = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Tab:
    """A tab of the browser. `run` runs the body of an async function in its page; what it returns is returned."""

    def __init__(self, browser, name):
        self.browser, self.name = browser, name

    def run(self, body, **names):
        """Names are constants of the body."""
        constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items())
        return self.browser.order(tab=self.name, run=constants + body)

    def said(self):
        """The next entry of the page's log (browser_client.js)."""
        return self.run("return said();")

    def complaints(self):
        """What it threw, and the errors and warnings of its console, each once. Ask when you are done: who waits in a loop overlooks what is thrown."""
        return self.browser.order(tab=self.name, complaints=True)

    def shut(self):
        self.browser.order(tab=self.name, shut=True)


class Browser:
    """Chromium, driven by browser_client.js, and one user of it: its tabs share cookies and connections. Use it as a context manager.

    Chromium takes a while to start: it is started once for a test's file, and each user begins without a past.
    """

    _process, _answers = None, queue.Queue()

    def __init__(self):
        self.n_tabs = 0
        if not Browser._process:
            Browser._start()
        self.order(fresh=True)

    @classmethod
    def _start(cls):
        cls._process = subprocess.Popen(["node", str(_FUNCTIONAL / "browser_client.js"), chromium_or_exit()], cwd=_FUNCTIONAL, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(cls._end)
        threading.Thread(target=lambda: [cls._answers.put(json.loads(line)) for line in cls._process.stdout], daemon=True).start()
        check("ready" in cls._answers.get(timeout=scaled(30)), "the browser does not start")

    @classmethod
    def _end(cls):
        cls._process.stdin.close()
        try:
            cls._process.wait(scaled(10))
        except subprocess.TimeoutExpired:
            cls._process.kill()
            cls._process.wait()

    def order(self, **order):
        Browser._process.stdin.write(json.dumps(order) + "\n")
        Browser._process.stdin.flush()
        try:
            answer = Browser._answers.get(timeout=scaled(20))
        except queue.Empty:
            raise Failure(f"the browser does not answer {str(order)[:200]}") from None
        check("failed" not in answer, f"in the browser: {str(answer)[:600]}")
        return answer["value"]

    def open(self, address):
        """A new tab with that page."""
        self.n_tabs += 1
        tab = Tab(self, f"tab {self.n_tabs}")
        self.order(tab=tab.name, open=address)
        return tab

    def cookie(self, name, value, url):
        self.order(cookie={"name": name, "value": value, "url": url})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass  # the next one shuts the tabs
