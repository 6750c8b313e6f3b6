#!/usr/bin/python3
# conf/nginx.conf, as it is shipped but for addresses and certificates: clients get through, and no token gets into a log of nginx.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def test_clients_get_through_and_no_token_gets_into_a_log():
    token = mint("u1")
    with Broker({"trusted_proxies": ["127.0.0.1"]}) as broker, ShippedProxy("nginx", broker.address) as nginx:
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
