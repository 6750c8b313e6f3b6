#!/usr/bin/python3
# POST /publish takes CloudEvents 1.0, one or a batch, and what each attribute becomes; a traceparent reaches the event.
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

def cloud(n=1, **change):
    """A valid CloudEvent, the n-th; an attribute given as None is left out."""
    event = {"specversion": "1.0", "id": f"id-{n}", "source": "/shop/orders", "type": "com.example.gift.UPDATED", "subject": "gift-list:1",
             "data": {"n": n}, **change}
    return {k: v for k, v in event.items() if v is not None}


def post(broker, body, kind=ONE, token=None, **headers):
    return http(broker.address, "POST", "/publish", {"Content-Type": kind, **headers}, body if isinstance(body, str) else json.dumps(body),
                token or mint("shop"))


def watcher(broker):
    client = WsClient(broker.address, token=mint("anna"))
    client.subscribe("gift-list:*")
    return client


def test_attributes_become_an_event():
    with Broker() as broker, watcher(broker) as client:
        answer = post(broker, cloud(time="2026-02-03T04:05:06Z", entityid="gift-9", datacontenttype="application/json", dataschema="x:y",
                                    traceparent=PARENT, other=5))
        equal(answer.status, 200, f"status {answer.body}")
        got = client.recv_event()
        equal(got, {"topic": "gift-list:1", "event": "UPDATED", "trace_id": TRACE, "id": answer.json()["id"],
                    "data": {"entity_id": "gift-9", "payload": {"n": 1}, "user_id": "shop", "tenant_id": "acme", "timestamp": "2026-02-03T04:05:06Z"}},
              "the event")
        # what is not set; null says the same
        post(broker, {**cloud(2), "time": None, "traceparent": None, "entityid": None})
        got = client.recv_event()
        equal((got["data"]["entity_id"], got["data"]["payload"]), ("1", {"n": 2}), "of the subject")
        check(got["data"]["timestamp"].endswith("Z") and len(got["trace_id"]) == 32, f"filled in: {got}")
        post(broker, cloud(3, data=None))
        check("payload" not in client.recv_event()["data"], "a payload out of nothing")
        # the event's name: what is behind the last dot, where that is one of our names
        for number, (kind, name) in enumerate({"ADDED": "ADDED", "com.example.STATUS_CHANGED": "STATUS_CHANGED", "com.example.order.created": "com.example.order.created",
                                               "com.example.v1": "com.example.v1", "a.": "a.", "A\u00e9": "A\u00e9"}.items()):
            equal(post(broker, cloud(f"n{number}", type=kind)).status, 200, kind)
            equal(client.recv_event()["event"], name, kind)
        # a payload's bytes stay as they are, and media types have parameters
        body = '{"specversion":"1.0","id":"b","source":"s","type":"ADDED","subject":"gift-list:\\u0032","data":{ "e" : 1.50e+3, "u":"\\u00e4\\/"}}'
        equal(post(broker, body, "Application/CloudEvents+JSON; charset=utf-8").status, 200, "media type")
        text = client.recv()
        contains(text, '"payload":{ "e" : 1.50e+3, "u":"\\u00e4\\/"}', "the text")
        contains(json.loads(text), {"topic": "gift-list:2"}, "an escaped subject")


def test_a_batch_is_answered_by_item():
    with Broker() as broker, watcher(broker) as client:
        answer = post(broker, [cloud(1), cloud(2, subject="No"), 5, cloud(3, id=None), cloud(4, specversion="0.3"), cloud(5)], BATCH)
        equal(answer.status, 207, "status")
        results = answer.json()["results"]
        equal([r["ok"] for r in results], [True, False, False, False, False, True], f"results {results}")
        equal({r["code"] for r in results if not r["ok"]}, {"bad_request"}, "codes")
        equal([results[3]["message"], results[4]["message"]], ["Missing required attribute: id", "specversion is not 1.0"], "messages")
        equal([client.recv_event()["data"]["payload"]["n"] for _ in range(2)], [1, 5], "what came")
        equal(post(broker, [], BATCH).json(), {"results": []}, "an empty batch")
        answer = post(broker, [cloud(f"x{n}") for n in range(1000)], BATCH)
        equal((answer.status, len(answer.json()["results"])), (200, 1000), "as many as may be")
        equal(post(broker, [cloud(f"y{n}") for n in range(1001)], BATCH).status, 413, "too many")


def test_what_is_no_cloudevent_is_refused():
    with Broker() as broker:
        wrong = [{**cloud(), name: value} for name in ("specversion", "id", "source", "type", "subject") for value in (None, "", 5, {})]
        wrong += [cloud(subject="a"), cloud(subject="No Such:1"), cloud(time="yesterday"), cloud(time=5), cloud(data_base64="AAAA", data=None),
                  cloud(entityid={}), '{"specversion":"1.0","id":"1","source":"s","type":"ADDED","subject":"a:1","ID":1,"id":"2"}',
                  '{"specversion":"1.0","id":"1","source":"s","type":"ADDED","subject":"a:1","x":1,"x":1}',
                  '{"specversion":"1.0","id":"\\ud800","source":"s","type":"ADDED","subject":"a:1"}', "{", "5", "", '{"a":1} x', [cloud()]]
        for body in wrong:
            answer = post(broker, body)
            equal((answer.status, answer.json()["code"]), (400, "bad_request"), f"{body}: {answer.body[:200]}")
        for body in (cloud(), "[", "[]x", "5"):
            equal(post(broker, body, BATCH).status, 400, f"a batch {body}")
        for kind in ("application/cloudevents", "application/cloudevents+xml", "text/json", ""):
            equal(post(broker, cloud(), kind).status, 415, kind)
        equal(http(broker.admin_address, "POST", "/api/reload", {"Content-Type": ONE}, b"{}", ADMIN_TOKEN).status, 415, "elsewhere it is none")
        equal(http(broker.address, "GET", "/cursor", token=mint("shop")).json()["cursor"].split("-")[1], "0", "nothing was stored")


def test_source_and_id_make_a_repeat_known():
    with Broker() as broker, watcher(broker) as client:
        first = post(broker, cloud(1)).json()
        equal(post(broker, cloud(1)).json(), {**first, "duplicate": True}, "the same again")
        equal(post(broker, [cloud(1), cloud(2), cloud(2)], BATCH).json()["results"][0], {**first, "duplicate": True}, "in a batch")
        equal(post(broker, cloud(1, data={"n": 9})).status, 422, "the same with other data")
        check("duplicate" not in post(broker, cloud(1, source="/shop/other")).json(), "of another source")
        # neither runs into the other, and both may be long
        check("duplicate" not in post(broker, cloud(id="bc", source="a")).json(), "one")
        check("duplicate" not in post(broker, cloud(id="c", source="ab")).json(), "the other")
        long = cloud(id="x" * 3000, source="y" * 3000)
        check("duplicate" not in post(broker, long).json() and post(broker, long).json()["duplicate"], "long names")
        # escapes say the same
        check(post(broker, json.dumps(cloud(1)).replace("id-1", "\\u0069d-1")).json()["duplicate"], "an escaped id")
        # a key that is given for one event comes first
        check("duplicate" not in post(broker, cloud(1), **{"Idempotency-Key": "k"}).json(), "another key")
        check(post(broker, cloud(77), **{"Idempotency-Key": "k"}).status == 422, "the key's event is another")
        events = [client.recv_event() for _ in range(7)]
        equal([e["data"]["payload"]["n"] for e in events], [1, 2, 1, 1, 1, 1, 1], "what came")
        equal(client.drain(0.2), [], "anything more")


def test_who_it_is_for_is_granted_or_not():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["tenants_claim"] = "to"
    with Broker({"hooks": hooks}) as broker, watcher(broker) as client, WsClient(broker.address, token=mint("ben", "beta")) as other:
        other.subscribe("gift-list:*")
        post(broker, cloud(1, userid="anna", tenantid="beta"))
        contains(client.recv_event()["data"], {"user_id": "shop", "tenant_id": "acme"}, "without a grant")
        post(broker, cloud(2, userid="anna"), token=mint("shop", backend=True))
        contains(client.recv_event()["data"], {"user_id": "anna", "tenant_id": "acme"}, "for a user")
        post(broker, cloud(3, tenantid="beta"), token=mint("shop", to=["beta"]))
        contains(other.recv_event()["data"], {"user_id": "shop", "tenant_id": "beta"}, "to a tenant")


def test_a_traceparent_reaches_the_event():
    event = {"topic": "gift-list:1", "event": "UPDATED", "data": {"entity_id": "1", "payload": {}}}
    with Broker() as broker, watcher(broker) as client:
        def traces(body, kind="application/json", parent=PARENT, n=1):
            answer = post(broker, body, kind, **({"traceparent": parent} if parent else {}))
            equal(answer.status, 200, f"status {answer.body[:200]}")
            return [client.recv_event()["trace_id"] for _ in range(n)]
        equal(traces(event), [TRACE], "of one")
        equal(traces([event, {**event, "trace_id": "mine"}, event], n=3), [TRACE, "mine", TRACE], "of an array: its own comes first")
        equal(traces(event, parent=f"01-{TRACE}-00f067aa0ba902b7-01-more"), [TRACE], "a later version")
        equal(traces([cloud(1), cloud(2, traceparent=f"00-{OTHER}-00f067aa0ba902b7-00"), cloud(3, traceparent="no")], BATCH, n=3),
              [TRACE, OTHER, TRACE], "CloudEvents: their own comes first")
        for wrong in ("", "x", PARENT.upper(), PARENT + "-more", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01",
                      f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-00f067aa0ba902b7", f"00-{TRACE[1:]}-00f067aa0ba902b7-01"):
            made = traces([event, event], parent=wrong, n=2)
            check(all(len(t) == 32 and t != TRACE for t in made) and made[0] != made[1], f"{wrong!r} made {made}")
        made = [traces(cloud(f"t{i}", traceparent=wrong), ONE, None)[0] for i, wrong in enumerate((5, "x", PARENT[:-1], "\ud83d\ude00"))]
        check(all(len(t) == 32 and t != TRACE for t in made), f"CloudEvents: {made}")


main()
