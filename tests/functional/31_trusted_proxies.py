#!/usr/bin/python3
# Whose a request is: PROXY protocol v2 through HAProxy, X-Forwarded-For through nginx, and neither of an address that is not trusted.
# Clients come from addresses of their own within 127.0.0.0/8; both proxies come from 127.0.0.1.
# ctest: timeout=120
import contextlib
import pathlib
import socket
import struct
import sys
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
REFUSED = "hookwire_proxy_headers_refused_total"
ONE, TWO, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.9"
# every publish is refused, and the refusal says which address the policy saw
TELLING = """
return policy {
  api = 1,
  authorize = {
    publish = function(s, topic) return deny("forbidden_topic", "you are " .. s.address) end,
  },
}
"""
EVENT = {"topic": "a:1", "event": "ADDED", "data": {"entity_id": "e1", "payload": {}}}


def config(**change):
    return {"workers": 2, "tenants": {"*": {"hooks": [{"name": "telling", "lua": "telling.lua"}]}}, "trusted_proxies": ["127.0.0.1"], **change}


def broker_with(**change):
    return Broker(config(**change), files={"telling.lua": TELLING})


def seen(address, headers=None, source=None):
    """Which address the policy sees of a POST."""
    answer = http(address, "POST", "/publish", headers, EVENT, mint("u1"), source=source)
    equal(answer.status, 403, f"the answer of a policy that tells: {answer.body}")
    return answer.json()["message"].removeprefix("you are ")


def session_address(broker, user):
    answer = http(broker.admin_address, "GET", "/api/sessions?" + urllib.parse.urlencode({"user": user}), token=ADMIN_TOKEN)
    rows = answer.json()["sessions"]
    equal(len(rows), 1, f"sessions of {user}")
    return rows[0]["address"]


def expect_clients_are_told_apart(broker, front):
    """WebSocket and POST of two clients behind one proxy: hooks, and the list of sessions, see each one's own address."""
    for source in (ONE, TWO):
        for headers in (None, {"X-Forwarded-For": STRANGER}, {"X-Forwarded-For": "127.0.0.1, 10.0.0.1"}):
            equal(seen(front, headers, source), source, f"a POST of {source} with {headers}")
            user = f"u{source[-1]}"
            with WsClient(front, token=mint(user), protocols=V1, headers=headers, source=source) as client:
                client.recv_where({"type": "welcome"})
                equal(session_address(broker, user), source, f"a session of {source} with {headers}")
                message = client.request({"type": "publish", **EVENT, "id": "1"})["message"]
                equal(message, f"you are {source}", f"a publish of {source} with {headers}")


def test_haproxy_says_it_in_a_proxy_header():
    with broker_with(listen=[{"address": "127.0.0.1:0", "proxy_protocol": True}]) as broker:
        with Proxy("haproxy", broker.address, forward="proxy2") as front:
            expect_clients_are_told_apart(broker, front.address)
        equal(broker.metric(REFUSED), 0, "refused headers")


def test_nginx_and_haproxy_say_it_in_x_forwarded_for():
    with broker_with() as broker:
        for kind in ("nginx", "haproxy"):
            with Proxy(kind, broker.address, forward="header") as front:
                expect_clients_are_told_apart(broker, front.address)


def test_a_chain_of_both():
    with broker_with(listen=[{"address": "127.0.0.1:0", "proxy_protocol": True}]) as broker:
        with Proxy("haproxy", broker.address, forward="proxy2") as inner:
            with Proxy("nginx", inner.address, forward="header") as outer:
                expect_clients_are_told_apart(broker, outer.address)


def test_the_word_of_others_does_not_count():
    with broker_with() as broker:
        for headers in ({"X-Forwarded-For": ONE}, [("X-Forwarded-For", ONE), ("X-Forwarded-For", "127.0.0.1")],
                        {"Forwarded": f"for={ONE}"}, {"X-Real-IP": ONE}, {"True-Client-IP": ONE}):
            equal(seen(broker.address, headers, STRANGER), STRANGER, f"a stranger with {headers}")
        # of a trusted one neither are headers that nobody reads
        equal(seen(broker.address, {"Forwarded": f"for={ONE}"}), "127.0.0.1", "Forwarded of a trusted peer")
    with broker_with(trusted_proxies=[]) as broker:
        equal(seen(broker.address, {"X-Forwarded-For": ONE}), "127.0.0.1", "X-Forwarded-For with an empty list")


def proxy_header(source=ONE, command=0x21):
    """PROXY protocol v2, TCP over IPv4 or IPv6."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source) * 2 + struct.pack(">HH", 4711, 8080)
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack(">BBH", command, 0x21 if ":" in source else 0x11, len(addresses)) + addresses


def seen_behind(header, address, source=None):
    with HttpConnection(address, source=source) as connection:
        connection.send(header)
        answer = connection.request("POST", "/publish", {"Authorization": "Bearer " + mint("u1")}, EVENT)
        return answer.json()["message"].removeprefix("you are ")


def expect_closed(broker, data, source=None):
    before = broker.metric(REFUSED)
    with HttpConnection(broker.address, source=source) as connection:
        with contextlib.suppress(OSError):
            connection.send(data)
        check(connection.closed(), f"{data[:20]!r} from {source} leaves the connection open")
        equal(connection.buffer, b"", f"what {data[:20]!r} from {source} is answered")
    equal(broker.metric(REFUSED), before + 1, "refused headers")


def test_a_listener_of_the_protocol_takes_nothing_else():
    with broker_with(listen=[{"address": "127.0.0.1:0", "proxy_protocol": True}]) as broker:
        equal(seen_behind(proxy_header(), broker.address), ONE, "behind a header")
        equal(seen_behind(proxy_header("2001:db8::9"), broker.address), "[2001:db8::9]", "behind a header of IPv6")
        equal(seen_behind(proxy_header(command=0x20), broker.address), "127.0.0.1", "behind LOCAL")
        expect_closed(broker, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        expect_closed(broker, b"PROXY TCP4 127.0.0.2 127.0.0.1 4711 8080\r\n")
        expect_closed(broker, proxy_header(command=0x31))
        expect_closed(broker, proxy_header(), source=STRANGER)
        broker.wait_log(r"WARN .*a connection is refused for its PROXY header address=127\.0\.0\.1 reason=")


def test_a_listener_without_it_reads_no_header():
    with broker_with() as broker:
        with HttpConnection(broker.address) as connection:
            connection.send(proxy_header())
            equal(connection.read_response().status, 400, "a header where none belongs")


def test_a_unix_socket_is_trusted_by_its_own_word():
    with temporary_directory() as directory:
        listen = [{"address": f"unix:{directory}/proxied.sock", "proxy_protocol": True}, f"unix:{directory}/plain.sock"]
        with broker_with(listen=listen, trusted_proxies=["unix"]) as broker:
            for _ in range(4):  # the connections are handed out to the workers in turn
                equal(seen_behind(proxy_header(), broker.listening[0]), ONE, "behind a header")
                equal(seen(broker.listening[1], {"X-Forwarded-For": ONE}), ONE, "X-Forwarded-For")
        with broker_with(listen=listen, trusted_proxies=["127.0.0.1"]) as broker:
            equal(seen(broker.listening[1], {"X-Forwarded-For": ONE}), "unix", "X-Forwarded-For of an untrusted socket")
            expect_closed(broker, proxy_header())


def test_a_reload_changes_who_is_trusted_and_drops_nobody():
    with broker_with(listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "proxy_protocol": True}]) as broker:
        plain, proxied = broker.listening
        client = WsClient(plain, token=mint("u2"), protocols=V1, headers={"X-Forwarded-For": ONE})
        client.recv_where({"type": "welcome"})
        connection = HttpConnection(plain)

        def told():
            answer = connection.request("POST", "/publish", {"Authorization": "Bearer " + mint("u1"), "X-Forwarded-For": ONE}, EVENT)
            return answer.json()["message"].removeprefix("you are ")

        equal(told(), ONE, "before")
        broker.write_config({**broker.config, "trusted_proxies": ["127.0.0.7"]})
        broker.sighup()
        broker.wait_log(r"reload: reloaded generation=2")
        equal(told(), "127.0.0.1", "a connection that was there before, after")
        with HttpConnection(proxied) as refused:
            with contextlib.suppress(OSError):
                refused.send(proxy_header())
            check(refused.closed(), "the former proxy's header is still believed")
        equal(seen_behind(proxy_header(), proxied, source="127.0.0.7"), ONE, "the new proxy's header")
        # where the protocol is spoken is settled at the start
        broker.write_config({**broker.config, "listen": ["127.0.0.1:0", "127.0.0.1:0"]})
        broker.sighup()
        broker.wait_log(r"WARN .*a changed key needs a restart key=listen")
        broker.wait_log(r"reload: reloaded generation=3")
        equal(seen_behind(proxy_header(), proxied, source="127.0.0.7"), ONE, "a header at a listener that is to lose the protocol")
        # a session is whose it was when it came
        equal(client.request({"type": "publish", **EVENT, "id": "1"})["message"], f"you are {ONE}", "a session that was there before")
        equal(session_address(broker, "u2"), ONE, "its address in the list")
        connection.close()
        client.close()


def test_an_open_list_and_an_idle_listener_are_told():
    with broker_with() as broker:
        path = broker.write_file("bad.json", {**broker.config, "listen": [{"address": "127.0.0.1:0", "proxy_protocol": True}], "trusted_proxies": []})
        done = cli("check", "-c", path)
        equal(done.returncode, 1, f"check of a listener that nobody could use: {done.stdout}{done.stderr}")
        check("nobody in \"trusted_proxies\"" in done.stdout + done.stderr, done.stdout + done.stderr)
        path = broker.write_file("open.json", {**broker.config, "trusted_proxies": ["0.0.0.0/0"]})
        done = cli("check", "-c", path)
        equal(done.returncode, 0, f"check of a list that trusts everybody: {done.stdout}{done.stderr}")
        check("trusts every address" in done.stdout + done.stderr, done.stdout + done.stderr)


main()
