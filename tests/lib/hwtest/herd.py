"""All clients come back at once; and clients that reset their connections by the thousand, wherever these stand."""
import base64
import collections
import contextlib
import json
import os
import socket

from .broker import Broker
from .check import check, equal
from .http import http
from .many import RESET, Many
from .run import need_files
from .token import mint
from .wait import stretched, wait_until
from .ws import TEXT, encode_frame

PER_TOPIC = 10
N_PUBLISHERS = 4
N_BYSTANDERS = 40
SPARE_FILES = 1000
GROWTH_BYTES = 4 << 20  # of a broker that has seen a quarter of the storm already
AT_A_TIME = 100         # resets between two looks at the others
HELD = 300              # connections of the storm that are open at a time
HERD = ("plain", "v1", "plain", "v1", "plain", "v1", "plain", "v1", "sse", "poll")

# AddressSanitizer keeps what was freed for a while, and 256 MB of it: not where memory is measured
ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=1"}


def _config():
    limits = {"connections": 1000000, "subscriptions": 1000000, "publish_per_s": 1000000}
    hooks = [{"name": "open", "lua": "open.lua"}]
    return {"workers": 2, "log": {"level": "info"}, "heartbeat": {"interval_ms": 60000, "timeout_ms": 240000},
            "slow": {"deadline_ms": 240000}, "topics": {"storm:*": {"history": "none"}}, "tenants": {"*": {"hooks": hooks, "limits": limits}}}


def _connect(many, broker, n_clients, kinds):
    for _ in range(N_PUBLISHERS):
        many.add("publisher")
    for n in range(n_clients):
        many.add(kinds[n % len(kinds)], f"a:{n // PER_TOPIC}")
    many.run(many.all_open, 240, "all to be there")
    many.run(lambda: broker.metric("hookwire_subscriptions") >= n_clients, 60, "all subscriptions")
    many.publish_to_all()
    many.run(many.all_level, 120, "an event for everybody")


def _settle(many):
    """The last events, and what everybody has then."""
    many.publish_at(0)
    many.run(lambda: not many.n_flying(), 60, "the last acks")
    many.publish_to_all()
    many.run(many.all_level, 240, "all to be level")
    many.check_ledger()


def come_back_at_once(n_clients, rate):
    """Everybody is cut, by a reset and then by an end, and comes back in the same moment with its cursor, while publishing goes on."""
    need_files(n_clients + SPARE_FILES)
    with Broker(_config()) as broker, Many(broker.address) as many:
        _connect(many, broker, n_clients, HERD)
        for reset in (True, False):
            many.publish_at(rate)
            before = many.n_events
            many.run(lambda: many.n_events > before, 30, "deliveries")
            for client in many.clients:
                client.cut(reset)
            known = {client: client.last_number for client in many.clients}
            many.run(lambda: all(many.newest[client.topic] > number for client, number in known.items()), 60, "an event for everybody meanwhile")
            for client in many.clients:
                client.come_again(after_s=0)
            many.run(many.all_open, 240, "all to be back")
        _settle(many)
        check(all(client.n_connections >= 3 for client in many.clients), "somebody was not cut")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        wait_until(lambda: broker.metric("hookwire_connections") <= n_clients + N_PUBLISHERS + 1, 60, "the old connections to be gone")
        print(f"{n_clients} clients came back twice; {sum(len(ids) for ids in many.ids.values())} events acknowledged, {many.n_events} delivered, "
              "each once and in order", flush=True)


class _Storm:
    """Connections that are reset."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.address, self.open, self.n = (host, int(port)), collections.deque(), 0
        token, event = mint("storm"), {"topic": "storm:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}
        headers = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n".encode()
        post = b"POST /publish HTTP/1.1\r\n" + headers + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        body = json.dumps(event).encode()
        key = base64.b64encode(os.urandom(16))
        upgrade = (b"GET /ws?topics=a:0 HTTP/1.1\r\n" + headers + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: " + key + b"\r\n%s\r\n")
        v1 = upgrade % b"Sec-WebSocket-Protocol: hookwire.v1\r\n"
        frame = encode_frame(TEXT, json.dumps({"type": "publish", "id": 1, **event}))
        self.texts = [
            b"",                                              # not a word
            b"G",                                             # a part of a request
            upgrade[:len(upgrade) // 2],                      # of a handshake
            post % len(body) + body[:20],                     # of a body
            post % len(body) + body,                          # a publish whose answer nobody reads
            (post % len(body) + body) * 3 + b"POST /pub",     # several, and a part
            upgrade % b"",                                    # a handshake that is not waited for
            v1 + frame[:1], v1 + frame[:5], v1 + frame[:-1],  # parts of a frame
            v1 + frame * 5 + frame[:9],                       # frames, and a part
            b"GET /sse?topics=a:0,a:1 HTTP/1.1\r\n" + headers + b"\r\n",
            b"GET /poll?topics=a:0&wait=20 HTTP/1.1\r\n" + headers + b"\r\n",
        ]

    def some(self, count):
        """So many more. Each third is reset at once, the others some hundred connections later."""
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.connect_ex(self.address)
            with contextlib.suppress(OSError):
                sock.send(self.texts[self.n % len(self.texts)])
            self.n += 1
            if self.n % 3:
                self.open.append(sock)
            else:
                sock.close()
            if len(self.open) > HELD:
                self.open.popleft().close()

    def end(self):
        """The rest of them."""
        while self.open:
            self.open.popleft().close()


def reset_by_the_thousand(count):
    """So many resets, with some who only want to go on."""
    need_files(SPARE_FILES)
    with Broker(_config(), env=ENV) as broker, Many(broker.address) as many:
        _connect(many, broker, N_BYSTANDERS, HERD)
        descriptors = broker.fds()
        many.publish_at(50)
        storm = _Storm(broker.address)

        def blow(upto):
            def go_on():
                storm.some(AT_A_TIME)
                return storm.n >= upto
            many.run(go_on, 60 + upto / 200, f"{upto} resets")
            storm.end()
            many.run(lambda: broker.fds() <= descriptors, 60, "the descriptors to come back")
            many.run(lambda: broker.metric("hookwire_connections") <= N_BYSTANDERS + N_PUBLISHERS + 1, 60, "the connections to be gone")
            return broker.rss_bytes()
        before = blow(count // 4)
        grown = blow(count) - before
        check(broker.metric("hookwire_connections_total") > count / 2, "most of the storm never came to the broker")
        check(broker.metric("hookwire_events_published_total") > sum(many.sent.values()) + count / 100, "nothing of the storm was published")
        print(f"{storm.n} resets; memory {before >> 20} MiB after a quarter of them, {grown >> 10} KiB more at the end", flush=True)
        check(stretched() or grown < GROWTH_BYTES, f"memory grew by {grown >> 10} KiB")
        _settle(many)
        equal(http(broker.address, "GET", "/healthz").status, 200, "health")
        for client in many.clients + many.publishers:
            equal(client.n_connections, 1, f"connections of {client.user}")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
