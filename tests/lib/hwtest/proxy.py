"""nginx and HAProxy of the distribution, in front of a broker, on a loopback port of their own."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from .check import check
from .http import http
from .wait import scaled, wait_until

_CONF = pathlib.Path(__file__).resolve().parents[3] / "conf"

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


def free_port():
    """A port that nobody listened on a moment ago: for a broker that comes back where it was."""
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
            port = free_port()
            self.address = self._address(port)
            with open(self.dir / "output.log", "ab") as log:
                self.process = subprocess.Popen(
                    self._command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
            try:
                wait_until(self._answers, 5, f"{self.kind} to answer")
                return
            except (AssertionError, RuntimeError):
                self._end()
        raise AssertionError(f"{self.kind} does not start:\n{self.log()[-4000:]}")

    def _address(self, port):
        return f"127.0.0.1:{port}"

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


def _write_certificate(directory):
    """A new certificate for 127.0.0.1: `cert.pem`, `key.pem` and both in `both.pem`, as the shipped files want them."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (directory / "both.pem").write_text((directory / "cert.pem").read_text() + (directory / "key.pem").read_text())


class ShippedProxy(Proxy):
    """conf/nginx.conf or conf/haproxy.cfg as it is shipped, but for addresses, paths, sizes, and how long things take.

    timeout_s   instead of its 75 s
    edits       (pattern, replacement) pairs, for what a test makes otherwise; each pattern must be there

    Its `address` is "tls:127.0.0.1:PORT"; `url` and `ca` (the certificate's file) are for clients that nobody here wrote.
    """

    def __init__(self, kind, upstream, timeout_s=75, edits=()):
        self.timeout_s, self.edits, self.ca = timeout_s, list(edits), None
        super().__init__(kind, upstream)

    def _address(self, port):
        self.port, self.url = port, f"https://127.0.0.1:{port}"
        return f"tls:127.0.0.1:{port}"

    def _changes(self, port):
        if self.kind == "haproxy":
            return [
                (r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{port} ssl crt {self.dir}/both.pem"), (r"127\.0\.0\.1:8080", self.upstream),
                (r"\b75s", f"{self.timeout_s}s"), (r"maxconn \d+", "maxconn 256"), (r"check inter 2s", "check inter 200ms")]
        return [
            (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"), (r"listen \[::\]:443 .*;", ""), (r"127\.0\.0\.1:8080", self.upstream),
            (r"/etc/ssl/certs/\S+\.pem", f"{self.dir}/cert.pem"), (r"/etc/ssl/private/\S+\.key", f"{self.dir}/key.pem"),
            (r"/var/log/nginx/", f"{self.dir}/"), (r"\b75s", f"{self.timeout_s}s"),
            (r"worker_processes auto;", "worker_processes 1;"), (r"worker_connections \d+;", "worker_connections 256;"), (r"worker_rlimit_nofile \d+;", ""),
            # what it puts aside goes into our own directory
            (r"http \{", "http {" + "".join(f" {name}_temp_path {self.dir}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")))]

    def configure(self, port):
        """Writes its configuration, with the edits as they are now; returns the path."""
        name = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[self.kind]
        text = (_CONF / name).read_text()
        for pattern, new in [*self.edits, *self._changes(port)]:
            text, n = re.subn(pattern, lambda _, new=new: new, text)
            check(n > 0, f"{name} has no {pattern}")
        path = self.dir / name
        path.write_text(text)
        return path

    def _command(self, port):
        if not self.ca:
            self.renew_certificate()
        path = self.configure(port)
        if self.kind == "haproxy":
            return ["/usr/sbin/haproxy", "-W", "-db", "-f", str(path)]  # a master that reloads, as the system's unit has it
        user = " user root;" if os.geteuid() == 0 else ""
        return ["/usr/sbin/nginx", "-e", str(self.dir / "start.log"), "-p", str(self.dir), "-g", f"daemon off; pid {self.dir}/pid;{user}", "-c", str(path)]

    def renew_certificate(self):
        """Puts another certificate in the place of the one that it has; it is taken up with the next reload."""
        _write_certificate(self.dir)
        self.ca = self.dir / "cert.pem"

    def reload(self):
        """It takes up its configuration, with the edits as they are now, in a new process; returns when the old ones only keep their connections."""
        old = self.workers()
        self.configure(self.port)
        self.process.send_signal({"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}[self.kind])
        wait_until(lambda: all(self._has_retired(worker) for worker in old), what=f"the old process of {self.kind} to retire")

    def _has_retired(self, worker):
        if worker not in self.workers():
            return True
        if self.kind == "nginx":
            return b"shutting down" in pathlib.Path(f"/proc/{worker}/cmdline").read_bytes()
        return f"({worker}) : Proxy realtime stopped" in self.log()

    def workers(self):
        """The processes that have connections: the new one, and old ones until their last client is gone."""
        return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def connections(self):
        """How many connections clients have to it."""
        rows = [line.split() for line in pathlib.Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(f":{self.port:04X}") and row[3] == "01" for row in rows)
