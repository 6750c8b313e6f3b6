#!/usr/bin/python3
# Somebody sets the wall clock while the broker runs: tokens end by it, events say what it says, and nothing else takes notice.
# ctest: timeout=90
import datetime
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.clock import WallClock

V1 = ["hookwire.v1"]
HOUR = 3600
DAY = 24 * HOUR
PATIENCE_S = 60  # of the broker with who is silent: less than any jump, more than a busy machine holds a test up
WORKERS = 8      # several know nothing yet of who comes after a jump


def paced(interval, timeout, **more):
    """A heartbeat of so many seconds."""
    return {"heartbeat": {"interval_ms": int(scaled(interval) * 1000), "timeout_ms": int(scaled(timeout) * 1000)}, **more}


def publish(broker, token, key=None, **payload):
    """Stores an event; what was answered."""
    headers = [("Idempotency-Key", key)] if key else None
    answer = broker.publish("a:1", data={"entity_id": "e", "payload": payload}, token=token, headers=headers)
    equal(answer.status, 200, f"publish ({answer.body[:200]!r})")
    return answer.json()


def poll(broker, token, cursor=None, wait=0):
    """Polls a:1; the response."""
    where = f"/poll?topics=a:1&wait={wait}" + (f"&cursor={cursor}" if cursor else "")
    return http(broker.address, "GET", where, token=token, timeout=60)


def waiting(broker, token, wait=50):
    """A poll that waits; call what is returned for the whole response."""
    c = HttpConnection(broker.address)
    c.send(c.format("GET", f"/poll?topics=a:1&wait={wait}", [("Authorization", "Bearer " + token)]))
    wait_until(lambda: broker.metric("hookwire_polls_waiting") == 1 or not c.quiet(0), 10, "the poll to wait")
    check(c.quiet(0), "the poll waits")
    return lambda: c.read_response(timeout=60)


def seconds_of(event):
    """Its timestamp, in seconds since 1970."""
    return datetime.datetime.fromisoformat(event["data"]["timestamp"].replace("Z", "+00:00")).timestamp()


def number_of(id_):
    return int(id_.split("-")[1])


def test_nobody_is_dropped_and_events_go_on():
    jumps = (HOUR, -2 * HOUR, 30 * DAY)
    with WallClock() as clock, clock.broker(paced(0.3, PATIENCE_S, workers=WORKERS)) as broker:
        token = clock.mint("u1", 60 * DAY)
        with WsClient(broker.address, token=token, protocols=V1) as ws, WsClient(broker.address, token=token) as plain, \
                SseClient(broker.address, "a:1", token=token).begin() as sse:
            ws.subscribe("a:1")
            plain.subscribe("a:1")
            last = 0
            for jump in jumps:
                answer = waiting(broker, token)
                clock.jump(jump)
                # all of them are looked at some times: the heartbeat is what wakes up by itself
                comments = sse.parser.n_comments
                sse.read_until(lambda p: p.n_comments >= comments + 3, 10, "heartbeats")
                for client in (ws, plain):
                    client.ping()  # and so answers what it was asked
                equal(broker.metric("hookwire_polls_waiting"), 1, f"the poll waits on after a jump of {jump} s")
                id_ = publish(broker, token)["id"]
                events = [ws.recv_event(), plain.recv_event(), sse.recv_event(), answer().json()["events"][0]]
                equal([e["id"] for e in events], [id_] * 4, f"the event after a jump of {jump} s")
                check(number_of(id_) > last, "the order of ids is the order of events")
                check(abs(seconds_of(events[0]) - clock.now()) < scaled(10), f"{events[0]['data']['timestamp']} is not what the clock says")
                last = number_of(id_)


def test_tokens_end_by_the_wall_clock():
    with WallClock() as clock, clock.broker(paced(0.3, PATIENCE_S)) as broker:
        short, long = clock.mint("u1", HOUR // 2), clock.mint("u2", 3 * HOUR)
        with WsClient(broker.address, token=short, protocols=V1) as ws, SseClient(broker.address, "a:1", token=short).begin() as sse, \
                SseClient(broker.address, "a:1", token=long).begin() as stays:
            clock.jump(-HOUR)  # it now has an hour more
            comments = sse.parser.n_comments
            sse.read_until(lambda p: p.n_comments >= comments + 3, 10, "heartbeats")
            ws.ping()
            answer = waiting(broker, short)
            clock.jump(2 * HOUR)  # and now has none
            equal(ws.expect_close(4401).reason.split(":")[0], "token_expired", "why")
            equal(sse.closed()["code"], "token_expired", "the stream's end")
            r = answer()
            equal((r.status, r.json()["code"]), (401, "token_expired"), "the poll's answer")
            r = poll(broker, short)
            equal((r.status, r.json()["code"]), (401, "token_expired"), "another poll")
            id_ = publish(broker, long)["id"]
            equal(stays.recv_event()["id"], id_, "a token that is good stays")
        clock.jump(-HOUR)
        equal(poll(broker, short).status, 200, "what the clock says now is what counts")


def test_a_poll_waits_for_the_end_that_the_clock_says_now():
    with WallClock() as clock, clock.broker(paced(0.3, PATIENCE_S)) as broker:
        long = clock.mint("u2", 3 * HOUR)
        with SseClient(broker.address, "a:1", token=long).begin() as sse:
            ends = time.monotonic() + scaled(3)
            answer = waiting(broker, clock.mint("u1", scaled(3)))
            clock.jump(-HOUR)  # it now has an hour more

            def is_over():
                comments = sse.parser.n_comments
                sse.read_until(lambda p: p.n_comments > comments, 10, "a heartbeat")
                return time.monotonic() > ends + scaled(1)
            wait_until(is_over, 30, "the time that the token had at first")
            equal(broker.metric("hookwire_polls_waiting"), 1, "it waits on")
            id_ = publish(broker, long)["id"]
            equal([e["id"] for e in answer().json()["events"]], [id_], "what it waited for")


def test_an_idempotency_key_is_kept_for_its_time_whatever_the_clock_says():
    with WallClock() as clock, clock.broker() as broker:
        token = clock.mint("u1", 60 * DAY)
        first = publish(broker, token, "k", n=1)["id"]
        for jump in (HOUR, -2 * HOUR, 30 * DAY, -30 * DAY):
            clock.jump(jump)
            equal(publish(broker, token, "k", n=1), {"ok": True, "id": first, "duplicate": True}, f"the repeat, {jump} s later")


def test_a_ticket_is_good_for_its_time_whatever_the_clock_says():
    with WallClock() as clock, clock.broker() as broker:
        token = clock.mint("u1", 60 * DAY)
        for jump in (HOUR, -2 * HOUR):
            ticket = http(broker.address, "POST", "/ticket", token=token).json()["ticket"]
            clock.jump(jump)
            equal(http(broker.address, "GET", f"/poll?topics=a:1&wait=0&ticket={ticket}").status, 200, f"a ticket, {jump} s later")


def test_what_is_revoked_is_not_let_in_because_the_clock_was_wrong_for_a_while():
    with WallClock() as clock, clock.broker() as broker:
        token = clock.mint("u1", 2 * HOUR, jti="t1")
        equal(poll(broker, token).status, 200, "it is good")
        body = {"jti": "t1", "until": int(clock.now()) + 2 * HOUR}
        r = http(broker.admin_address, "POST", "/api/revoke", body=body, token=ADMIN_TOKEN)
        equal(r.status, 200, f"revoke ({r.body[:200]!r})")
        equal(poll(broker, token).json()["code"], "unauthorized", "it is revoked")
        clock.jump(3 * HOUR)
        wait_until(lambda: broker.metric("hookwire_revocations") == 0, 10, "the list to say that it has ended")
        listed = http(broker.admin_address, "GET", "/api/revocations", token=ADMIN_TOKEN).json()
        equal((listed["total"], listed["revocations"]), (0, []), "nothing is revoked that is over by the clock")
        equal(poll(broker, token).json()["code"], "token_expired", "it has expired")
        clock.jump(-3 * HOUR)
        equal(poll(broker, token).json()["code"], "unauthorized", "it is revoked until then")


main()
