#!/usr/bin/python3
# conf/nginx.conf, as it is shipped but for addresses and certificates: clients get through, and no token gets into a log of nginx.
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


class ShippedNginx(Proxy):
    """nginx with conf/nginx.conf, without TLS and on a free port."""

    def __init__(self, upstream):
        super().__init__("nginx", upstream)

    def _command(self, port):
        text = (ROOT / "conf/nginx.conf").read_text()
        for pattern, new in ((r"listen 443 ssl http2;", f"listen 127.0.0.1:{port};"), (r"listen \[::\]:443 ssl http2;", ""), (r"ssl_\w+ .*;", ""),
                             (r"127\.0\.0\.1:8080", self.upstream), (r"/var/log/nginx/", f"{self.dir}/"),
                             (r"worker_rlimit_nofile \d+;", ""), (r"worker_connections \d+;", "worker_connections 64;"),
                             (r"worker_processes auto;", "worker_processes 1; daemon off; master_process off;")):
            text, n = re.subn(pattern, new, text)
            check(n > 0, f"nginx.conf has no {pattern}")
        path = self.dir / "nginx.conf"
        path.write_text(text)
        return ["/usr/sbin/nginx", "-e", str(self.dir / "start.log"), "-p", str(self.dir), "-g", f"pid {self.dir}/pid;", "-c", str(path)]


def test_clients_get_through_and_no_token_gets_into_a_log():
    token = mint("u1")
    with Broker({"trusted_proxies": ["127.0.0.1"]}) as broker, ShippedNginx(broker.address) as nginx:
        with WsClient(nginx.address, token=token, source="127.0.0.2") as client:
            client.subscribe("gift-list:1")
            listed = http(broker.admin_address, "GET", "/api/sessions?user=u1", token=ADMIN_TOKEN).json()["sessions"]
            equal([row["address"] for row in listed], ["127.0.0.2"], "whose the session is")
            sent = http(nginx.address, "POST", "/publish", body={
                "topic": "gift-list:1", "event": "ADDED", "data": {"entity_id": "e1", "payload": {}}}, token=mint("shop", backend=True))
            equal(sent.status, 200, "publish through nginx")
            equal(client.recv_event()["topic"], "gift-list:1", "topic")
        broker.stop()
        # the line that would show it: the broker is away, as it is while it is started anew
        equal(http(nginx.address, "GET", f"/ws?token={token}").status, 502, "without a broker")
        wait_until(lambda: ' 502 ' in nginx.log(), what="the request in the access log")
        check(token not in nginx.log(), f"a token is in a log of nginx:\n{nginx.log()}")


main()
