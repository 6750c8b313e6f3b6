#!/usr/bin/python3
# A client behind a proxy that vanishes without a word (a lid that is closed, a tunnel) does not stay: HAProxy by its configuration, nginx with the setting of the
# kernel that operations.md names. It runs in a network of its own (user and network namespaces), where packets to a client can be lost.
# ctest: timeout=120
# ctest: label=long
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.far import main_apart

CLIENT = "127.0.0.3"
TIMEOUT_S = int(scaled(3))  # of the proxies, in the place of 75 s
CONFIG = {"heartbeat": {"interval_ms": 200 * TIMEOUT_S, "timeout_ms": 1000 * TIMEOUT_S}}
RETRIES = 3  # in the place of 8: some 3 s


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


def lose_packets_to_client():
    # in front of the table of what is local
    ip(f"rule add pref 5 to {CLIENT} blackhole")
    ip("rule add pref 10 lookup local")
    ip("rule del pref 0")


def find_client_again():
    ip("rule add pref 0 lookup local")
    ip("rule del pref 10")
    ip(f"rule del pref 5 to {CLIENT} blackhole")


def expect_gone(kind):
    with Broker(CONFIG) as broker, ShippedProxy(kind, broker.address, TIMEOUT_S) as proxy:
        with SseClient(proxy.address, "a:1", token=mint("sse"), source=CLIENT) as sse, WsClient(proxy.address, token=mint("ws"), source=CLIENT) as ws:
            sse.begin()
            ws.ping()
            equal(broker.metric("hookwire_sessions"), 2, f"{kind}: sessions")
            lose_packets_to_client()
            try:
                wait_until(lambda: broker.metric("hookwire_sessions") == 0, 10 * TIMEOUT_S, f"{kind}: nobody to be there")
            finally:
                find_client_again()
            sse.abort()
            ws.abort()


def test_haproxy_gives_up_who_does_not_acknowledge():
    expect_gone("haproxy")


def test_nginx_does_so_as_soon_as_the_kernel():
    retries = pathlib.Path("/proc/sys/net/ipv4/tcp_retries2")
    retries.write_text(str(RETRIES))
    expect_gone("nginx")


main_apart()
