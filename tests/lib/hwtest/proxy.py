"""nginx and HAProxy of the distribution, in front of a broker, on a loopback port of their own."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from .http import http
from .wait import scaled, wait_until

# Both are set to be lenient and to keep connections to the broker open: what they let through, and what they would
# mix up on a shared connection, is the broker's to withstand.
_NGINX = """
daemon off;
master_process off;
{user}
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
	access_log {dir}/access.log;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	client_header_timeout 5s;
	client_body_timeout 5s;
	ignore_invalid_headers off;
	underscores_in_headers on;
	merge_slashes off;
	map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
	upstream broker {{ server {upstream}; keepalive 4; }}
	server {{
		listen 127.0.0.1:{port};
		location / {{
			proxy_pass http://broker;
			proxy_http_version 1.1;
			proxy_request_buffering off;
			proxy_set_header Host $http_host;
			proxy_set_header Connection $connection_upgrade;
			proxy_set_header Upgrade $http_upgrade;
			{forward}
			proxy_read_timeout 5s;
			proxy_next_upstream off;
		}}
	}}
}}
"""

_HAPROXY = """
global
	maxconn 256
	nbthread 1
defaults
	mode http
	timeout connect 5s
	timeout client 5s
	timeout server 5s
	timeout http-request 5s
	timeout tunnel 60s
	option http-keep-alive
	http-reuse always
	retries 0
frontend in
	bind 127.0.0.1:{port}
	option accept-invalid-http-request
	default_backend broker
backend broker
	option accept-invalid-http-response
	server broker {upstream} {forward}
"""

# how a proxy says whose a request is
_FORWARD = {
    ("nginx", None): "", ("nginx", "header"): "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    ("haproxy", None): "", ("haproxy", "header"): "\n\toption forwardfor", ("haproxy", "proxy2"): "send-proxy-v2",
}


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Proxy:
    """A reverse proxy in front of `upstream` (host:port); `kind` is "nginx" or "haproxy". Use it as a context manager.

    forward: how it says whose a request is: None, "header" (X-Forwarded-For) or "proxy2" (HAProxy: PROXY protocol v2).
    """

    def __init__(self, kind, upstream, forward=None):
        self.kind, self.upstream, self.forward = kind, upstream, _FORWARD[kind, forward]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-proxy-"))
        self.process = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        # another process may take the port between asking for a free one and binding it
        for _ in range(5):
            port = _free_port()
            self.address = f"127.0.0.1:{port}"
            with open(self.dir / "output.log", "ab") as log:
                self.process = subprocess.Popen(
                    self._command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
            try:
                wait_until(self._answers, 5, f"{self.kind} to answer")
                return
            except (AssertionError, RuntimeError):
                self._end()
        raise AssertionError(f"{self.kind} does not start:\n{self.log()[-4000:]}")

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.kind} ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        return http(self.address, "GET", "/healthz", timeout=2).status == 200

    def _command(self, port):
        if self.kind == "nginx":
            path = self.dir / "nginx.conf"
            user = "user root;" if os.geteuid() == 0 else ""
            path.write_text(_NGINX.format(dir=self.dir, port=port, upstream=self.upstream, user=user, forward=self.forward))
            return ["/usr/sbin/nginx", "-e", str(self.dir / "error.log"), "-p", str(self.dir), "-c", str(path)]
        path = self.dir / "haproxy.cfg"
        path.write_text(_HAPROXY.format(port=port, upstream=self.upstream, forward=self.forward))
        return ["/usr/sbin/haproxy", "-f", str(path), "-db"]

    def log(self):
        """What the proxy wrote."""
        return "".join(p.read_text(errors="replace") for p in sorted(self.dir.glob("*.log")))

    def _end(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(scaled(5))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends the proxy, by its process id, and removes its files."""
        self._end()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
