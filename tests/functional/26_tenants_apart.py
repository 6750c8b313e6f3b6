#!/usr/bin/python3
# Two tenants with the same topic names: nothing of the one reaches the other; a tenant that is not listed is sent away.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "list:1"
OWN = {"hooks": [{"name": "open", "lua": "open.lua"}]}
TWO = {"tenants": {"*": None, "acme": OWN, "beta": OWN}, "workers": 2}


def client_of(broker, tenant, user="u1", **options):
    """A v1 client of a tenant, welcomed; .welcome holds its welcome."""
    client = WsClient(broker.address, token=mint(user, tenant), protocols=["hookwire.v1"], **options)
    client.welcome = client.recv_where({"type": "welcome"})
    return client


def test_no_event_crosses():
    with Broker(TWO) as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        for client in (acme, beta):
            client.subscribe(TOPIC, "list:*")
        for n in range(20):
            tenant = ("acme", "beta")[n % 2]
            # the other tenant's name in the event changes nothing
            data = {"entity_id": f"{tenant}-{n}", "payload": {}, "tenant_id": ("beta", "acme")[n % 2]}
            equal(broker.publish(TOPIC, data=data, tenant=tenant).status, 200, "publish")
        early = []
        acme.request({"type": "publish", "topic": TOPIC, "event": "UPDATED",
                      "data": {"entity_id": "acme-20", "payload": {}, "tenant_id": "beta"}}, skipped=early)
        for client, name, numbers in ((acme, "acme", range(0, 21, 2)), (beta, "beta", range(1, 20, 2))):
            got = [m for m in (early if client is acme else []) + client.drain(0.3) if "type" not in m]
            equal([e["data"]["entity_id"] for e in got], [f"{name}-{n}" for n in numbers], f"what {name} gets")
            equal({e["data"]["tenant_id"] for e in got}, {name}, f"tenant_id of {name}'s events")


def test_epochs_differ_and_a_cursor_of_the_other_tenant_tells_nothing():
    with Broker(TWO) as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        epoch_a = acme.welcome["cursor"].rpartition("-")[0]
        epoch_b = beta.welcome["cursor"].rpartition("-")[0]
        check(epoch_a != epoch_b, "the tenants share an epoch")
        for _ in range(5):
            broker.publish(TOPIC, tenant="acme")
        head = http(broker.address, "GET", "/cursor", token=mint("u1", "beta")).json()["cursor"]
        equal(head, beta.welcome["cursor"], "the quiet tenant's head is where it was")
        check(http(broker.address, "GET", "/cursor", token=mint("u1", "acme")).json()["cursor"] != acme.welcome["cursor"], "the other's moved")


def test_idempotency_keys_of_one_tenant_are_unknown_in_the_other():
    with Broker(TWO) as broker:
        headers = {"Idempotency-Key": "same"}
        a = broker.publish(TOPIC, tenant="acme", headers=headers)
        b = broker.publish(TOPIC, tenant="beta", headers=headers, data={"entity_id": "another", "payload": {}})
        equal([a.status, b.status], [200, 200], "statuses")
        check("duplicate" not in b.json(), "a duplicate of another tenant's")


def test_a_tenant_that_is_not_listed_is_refused_everywhere():
    with Broker(TWO) as broker:
        token = mint("u1", "gamma")
        with raises(Refused) as refused:
            WsClient(broker.address, token=token)
        equal(refused[0].response.status, 403, "a plain upgrade")
        equal(refused[0].response.json()["retryable"], False, "retryable")
        WsClient(broker.address, token=token, protocols=["hookwire.v1"]).expect_close(4403)
        for method, path in (("POST", "/publish"), ("GET", "/cursor")):
            body = {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e"}} if method == "POST" else b""
            equal(http(broker.address, method, path, body=body, token=token).status, 403, path)
        late = WsClient(broker.address)
        late.send_json({"type": "auth", "token": token})
        late.expect_close(4403)


def test_names_that_look_alike_are_different_tenants():
    with Broker({"tenants": {"*": OWN}}) as broker:
        names = ["acme", "ACME", "acme.", "acm", "acme-1"]
        clients = {name: client_of(broker, name) for name in names}
        for client in clients.values():
            client.subscribe(TOPIC)
        for name in names:
            broker.publish(TOPIC, tenant=name, data={"entity_id": "of-" + name, "payload": {}})
        for name, client in clients.items():
            equal([m["data"]["entity_id"] for m in client.drain(0.1) if "type" not in m], ["of-" + name], f"{name}'s events")
            client.close()


def test_a_refresh_cannot_change_the_tenant():
    with Broker(TWO) as broker:
        client = client_of(broker, "acme")
        client.subscribe(TOPIC)
        client.send_json({"type": "auth", "token": mint("u1", "beta"), "id": "r"})
        client.expect_close(4403)


def test_one_tenants_full_house_leaves_room_in_the_other():
    limited = {**OWN, "limits": {"connections": 2}}
    with Broker({"tenants": {"*": None, "acme": limited, "beta": limited}}) as broker:
        full = [client_of(broker, "acme", f"u{i}") for i in range(2)]
        WsClient(broker.address, token=mint("u3", "acme"), protocols=["hookwire.v1"]).expect_close(4429)
        client_of(broker, "beta").close()
        for client in full:
            client.close()


def test_lua_state_is_not_shared():
    counter = """
return policy { api = 1,
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
  transform = function(event, ctx)
    string.leak = event.data.tenant_id
    ctx.state.n = (ctx.state.n or 0) + 1
    event.data.payload.n = ctx.state.n
    return event
  end }
"""
    guarded = counter.replace("string.leak = event.data.tenant_id", "")
    for text in (counter, guarded):
        tenants = {"tenants": {"*": {"hooks": [{"name": "c", "lua": "c.lua"}]}}}
        with Broker(tenants, files={"c.lua": text}) as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
            for client in (acme, beta):
                client.subscribe(TOPIC)
            statuses = [broker.publish(TOPIC, tenant="acme").status for _ in range(3)]
            if set(statuses) != {200}:
                continue  # libraries are read-only: as good
            broker.publish(TOPIC, tenant="beta")
            equal([acme.recv_event()["data"]["payload"]["n"] for _ in range(3)], [1, 2, 3], "acme's counter")
            equal(beta.recv_event()["data"]["payload"]["n"], 1, "beta's counter")


main()
