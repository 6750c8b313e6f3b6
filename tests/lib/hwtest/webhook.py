"""A service that receives webhooks, and checks that they are signed as the Standard Webhooks specification has it."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

WEBHOOK_KEYS = [bytes(range(32)), bytes(range(100, 124))]
WEBHOOK_SECRETS = ["whsec_" + base64.b64encode(key).decode() for key in WEBHOOK_KEYS]


class WebhookService(http.server.ThreadingHTTPServer):
    """Receives webhooks. `answers` says what the next ones are answered; then 204. While `stalled`, it answers nobody."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port=0, context=None):
        super().__init__(("127.0.0.1", port), _Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}/hooks?a=b"
        self.lock, self.seen, self.answers = threading.Lock(), [], []
        self.going = threading.Event()
        self.going.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that leaves is what some of these tests are about

    def __exit__(self, *_):
        self.going.set()
        self.shutdown()
        self.server_close()

    def bodies(self, status=204):
        """What was received and answered so."""
        with self.lock:
            return [one["body"] for one in self.seen if one["status"] == status]

    def users(self, kind="session.connected"):
        return [body["data"]["user_id"] for body in self.bodies() if body["type"] == kind]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        service = self.server
        entry = {"path": self.path, "headers": dict(self.headers), "raw": raw, "body": json.loads(raw), "at": time.monotonic(), "status": None}
        with service.lock:
            service.seen.append(entry)
            entry["answer"] = service.answers.pop(0) if service.answers else (204, {})
        service.going.wait()
        status, headers = entry["answer"]
        with service.lock:
            entry["status"] = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def webhook_signature(key, headers, raw):
    """As the Standard Webhooks specification makes it."""
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
