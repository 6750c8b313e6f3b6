import asyncio
import base64
import contextlib
import dataclasses
import datetime
import decimal
import enum
import hmac
import http.server
import json
import os
import signal
import socket
import threading
import time
import uuid

import hookwire
import hwtest
import pytest


@contextlib.contextmanager
def service(answer):
    """An HTTP service that answers with what answer(handler, body) gives: (status, headers, body); None: it hangs up."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = answer(self, body)
            if told is None:
                self.close_connection = True
                return
            status, headers, text = told
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_it_is_stored_with_what_was_given(url, token, events):
    with hookwire.Client(url, token) as client:
        first = client.publish("gift-list:1", "ADDED", {"entity_id": "g1", "payload": {"name": "Bike"}}, mutation_id="m-1")
        second = client.publish("gift-list:1", "UPDATED", {"name": "Skates"}, entity_id="g1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    one, two = events("gift-list:1")
    assert (one["id"], two["id"]) == (first.id, second.id)
    assert one["data"]["mutation_id"] == "m-1"
    assert two["data"]["payload"] == {"name": "Skates"}
    assert two["trace_id"] == "a" * 32
    assert not first.duplicate


def test_a_key_that_was_used_is_no_second_event(url, token, events):
    client = hookwire.Client(url, token)
    ids = {client.publish("key:1", "ADDED", {"entity_id": "a"}, key="k-1") for _ in range(2)}
    assert {(one.id, one.duplicate) for one in ids} == {(events("key:1")[0]["id"], False), (events("key:1")[0]["id"], True)}
    with pytest.raises(hookwire.HookwireError) as caught:
        client.publish("key:1", "ADDED", {"entity_id": "another"}, key="k-1")
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("bad_request", 422, False)


def test_many_are_in_order_and_each_has_its_result(url, token, events):
    client = hookwire.Client(url, token)
    results = client.publish_many(hookwire.event("many:1" if n != 5 else "sealed:1", "UPDATED", {"n": n}, entity_id="e") for n in range(1200))
    assert [n for n, one in enumerate(results) if isinstance(one, hookwire.HookwireError)] == [5]
    assert results[5].code == "forbidden_topic"
    assert [event["data"]["payload"]["n"] for event in events("many:1")][:10] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]


def test_arrays_that_are_too_large_for_the_broker_go_in_parts_in_their_order(url, token, events):
    made = [hookwire.event("large:1", "UPDATED", "x" * (70000 if n == 7 else 50000), entity_id=f"e{n}") for n in range(60)]
    results = hookwire.Client(url, token).publish_many(made)
    assert [(n, one.code) for n, one in enumerate(results) if isinstance(one, hookwire.HookwireError)] == [(7, "too_large")]
    page = [event["id"] for event in events("large:1")]  # the first
    assert len(page) > 10
    assert page == [one.id for one in results if isinstance(one, hookwire.Published)][:len(page)]


def test_refusals_have_their_code(url, token):
    with pytest.raises(hookwire.HookwireError) as caught:
        hookwire.Client(url, token).publish("sealed:1", "ADDED", {"entity_id": "a"})
    assert (caught.value.code, caught.value.status) == ("forbidden_topic", 403)
    with pytest.raises(hookwire.HookwireError) as caught:
        hookwire.Client(url, "nonsense").publish("a:1", "ADDED", {"entity_id": "a"})
    assert caught.value.code == "unauthorized"
    with pytest.raises(ValueError, match="entity_id"):
        hookwire.Client(url, token).publish("a:1", "ADDED", {"name": "of what?"})
    with pytest.raises(ValueError, match="no address"):
        hookwire.Client("127.0.0.1:8080")


def test_a_token_that_has_ended_is_asked_for_once_more(url, token):
    tokens = ["nonsense", token]
    assert hookwire.Client(url, lambda: tokens.pop(0)).publish("a:1", "ADDED", {"entity_id": "a"}).id


def test_what_python_has_is_json():
    class Colour(enum.Enum):
        RED = "red"

    @dataclasses.dataclass
    class Gift:
        name: str
        price: decimal.Decimal
        on: datetime.datetime
        of: uuid.UUID
        colour: Colour

    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    gift = Gift("Bike", decimal.Decimal("12.50"), when, uuid.UUID(int=7), Colour.RED)
    payload = json.loads(hookwire._encode(hookwire.event("a:1", "ADDED", gift, entity_id="g")))["data"]["payload"]
    assert payload == {"name": "Bike", "price": "12.50", "on": "2026-01-01T00:00:00+00:00", "of": str(uuid.UUID(int=7)), "colour": "red"}
    for value in (object(), float("nan"), datetime.datetime(2026, 1, 1)):
        with pytest.raises((TypeError, ValueError)):
            hookwire._encode(value)


def test_text_that_is_half_of_a_pair_is_the_same_as_from_elsewhere(url, token, events):
    hookwire.Client(url, token).publish("half:1", "ADDED", b"name \xff".decode("utf-8", "surrogateescape"), entity_id="a", version=2)
    assert [(event["data"]["payload"], event["version"]) for event in events("half:1")] == [("name \udcff", 2)]


def test_an_event_of_ones_own_making_has_a_key_too():
    bodies, answers = [], [(503, {}, b""), (200, {}, b'{"results":[{"ok":true,"id":"k-1"}]}')]
    with service(lambda _, body: bodies.append(body) or answers.pop(0)) as address:
        hookwire.Client(address).publish_many([{"topic": "a:1", "event": "ADDED", "data": {"entity_id": "a"}}])
    assert bodies[0] == bodies[1] and json.loads(bodies[0])[0]["key"]


def test_a_broker_that_is_busy_or_away_is_tried_again_with_the_same_key():
    keys, answers = [], [
        None,
        (503, {"Retry-After": "0"}, b'{"code":"draining","message":"","retryable":true,"retry_after_ms":1}'),
        (429, {}, b'{"code":"rate_limited","message":"","retryable":true,"retry_after_ms":20}'),
        (502, {"Content-Type": "text/html"}, b"<html>a proxy's own page</html>"),
        (200, {}, b'{"ok":true,"id":"k-1","duplicate":true}')]

    def answer(handler, _):
        keys.append(handler.headers["Idempotency-Key"])
        return answers[len(keys) - 1]

    with service(answer) as address:
        assert hookwire.Client(address).publish("a:1", "ADDED", {"entity_id": "a"}) == ("k-1", True)
    assert len(keys) == 5 and len(set(keys)) == 1


@pytest.mark.parametrize("strange", [
    (200, {"Content-Type": "text/html"}, b"<html>a page of a proxy</html>"), (200, {}, b"{}"), (200, {}, b"null"), (408, {}, b""), (522, {}, b""),
    (503, {"Retry-After": "soon"}, b"{}"), (200, {}, b'{"results":null}'), (200, {}, b'{"results":[null]}'), (207, {}, b'{"results":[{"ok":false}]}'),
    (503, {}, b'{"retry_after_ms":"soon"}')], ids=["page", "empty", "null", "408", "522", "soon", "no results", "no result", "no code", "no number"])
def test_what_is_no_answer_of_a_broker_says_nothing_of_what_is_stored_and_is_tried_again(strange):
    answers = [strange, (200, {}, b'{"ok":true,"id":"k-1"}'), strange, (200, {}, b'{"results":[{"ok":true,"id":"k-1"}]}')]
    with service(lambda *_: answers.pop(0)) as address:
        client = hookwire.Client(address)
        assert client.publish("a:1", "ADDED", {"entity_id": "a"}).id == "k-1"
        assert client.publish_many([hookwire.event("a:1", "ADDED", {"entity_id": "a"})])[0].id == "k-1"


def test_a_redirect_is_not_followed():
    with service(lambda *_: (307, {"Location": "http://127.0.0.1:1/publish"}, b"")) as address:
        with pytest.raises(hookwire.HookwireError) as caught:
            hookwire.Client(address).publish("a:1", "ADDED", {"entity_id": "a"})
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("unavailable", 307, False)


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:05 GMT", "Wednesday, 21-Oct-26 07:28:05 GMT", "Wed Oct 21 07:28:05 2026"])
def test_retry_after_may_be_a_date(text, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        told = hookwire._retry_after({"retry-after": text}, 1792567680.0)  # 07:28:00 of that day
    time.tzset()
    assert told == 5


def test_it_gives_up_in_time():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(hookwire.HookwireError) as caught:
            hookwire.Client(f"http://127.0.0.1:{nobody.getsockname()[1]}", timeout=0.3).publish("a:1", "ADDED", {"entity_id": "a"})
    assert caught.value.code == "unavailable" and caught.value.retryable
    with service(lambda *_: (503, {"Retry-After": "3600"}, b"{}")) as address:
        with pytest.raises(hookwire.HookwireError) as caught:
            hookwire.Client(address, timeout=0.3).publish("a:1", "ADDED", {"entity_id": "a"})
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize("part", ["head", "body"])
def test_it_gives_up_in_time_however_slowly_an_answer_comes(part):
    over = threading.Event()
    head, text = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\nX-Pad: %s\r\n\r\n" % (b"x" * 400), b'{"ok":true,"id":"k-1"}'.rjust(400)

    def answer(handler, _):
        whole = head + text
        at_once = len(head) if part == "body" else 0
        with contextlib.suppress(OSError):  # it has left
            handler.wfile.write(whole[:at_once])
            for n in range(at_once, at_once + 200):
                if over.wait(0.05):
                    return
                handler.wfile.write(whole[n:n + 1])
            handler.wfile.write(whole[at_once + 200:])

    with service(answer) as address:
        client = hookwire.Client(address, timeout=0.5)
        with pytest.raises(hookwire.HookwireError) as caught:
            client.publish("a:1", "ADDED", {"entity_id": "a"})
        over.set()
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("unavailable", None, True)


def test_an_array_of_which_some_were_refused_for_now_is_tried_again():
    bodies = []

    def answer(_, body):
        bodies.append(json.loads(body))
        busy = '{"ok":false,"code":"rate_limited","message":"","retryable":true,"retry_after_ms":1}'
        second = busy if len(bodies) == 1 else '{"ok":true,"id":"k-2"}'
        first = '{"ok":true,"id":"k-1"},' if len(bodies) == 1 else ""
        return 207, {}, ('{"results":[%s%s]}' % (first, second)).encode()

    with service(answer) as address:
        results = hookwire.Client(address).publish_many([hookwire.event("a:1", "ADDED", {"entity_id": str(n)}) for n in range(2)])
    assert [one.id for one in results] == ["k-1", "k-2"]
    assert bodies[1] == bodies[0][1:]  # only what was refused, with its key


def test_a_connection_that_was_closed_while_idle_is_no_error(broker, token):
    with hwtest.Broker({"heartbeat": {"interval_ms": 1000, "timeout_ms": 2000}}) as own:
        client = hookwire.Client(f"http://{own.address}", token)
        client.publish("a:1", "ADDED", {"entity_id": "a"})
        client._idle[0].sock.shutdown(socket.SHUT_RDWR)
        assert client.publish("a:1", "ADDED", {"entity_id": "a"}).id


def test_asyncio_and_many_at_once(url, token, events):
    async def run():
        async with hookwire.AsyncClient(url, token) as client:
            await asyncio.gather(*(client.publish("async:1", "UPDATED", {"n": n}, entity_id="e") for n in range(50)))
            return await client.publish_many([hookwire.event("async:1", "UPDATED", {"n": 50}, entity_id="e")])
    assert asyncio.run(run())[0].id
    assert sorted(event["data"]["payload"]["n"] for event in events("async:1")) == list(range(51))


def test_a_broker_that_is_silent_takes_no_thread_that_others_need():
    hold = threading.Event()

    async def run(address):
        async with hookwire.AsyncClient(address) as client:
            waiting = [asyncio.ensure_future(client.publish("a:1", "ADDED", {"entity_id": "a"})) for _ in range(100)]
            await asyncio.sleep(0)  # all of them have begun
            try:
                await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, len, "others"), 5)  # as name lookups are done
                waiting[0].cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting[0]
            finally:
                hold.set()
            assert {one.id for one in await asyncio.gather(*waiting[1:])} == {"k-1"}

    with service(lambda *_: hold.wait(10) and (200, {}, b'{"ok":true,"id":"k-1"}')) as address:
        asyncio.run(run(address))


def test_a_publish_whose_turn_does_not_come_ends_in_its_time():
    hold = threading.Event()

    async def run(address):
        async with hookwire.AsyncClient(address, timeout=60) as client:
            waiting = [asyncio.ensure_future(client.publish("a:1", "ADDED", {"entity_id": "a"})) for _ in range(100)]
            await asyncio.sleep(0)  # all of them have begun
            try:
                with pytest.raises(hookwire.HookwireError) as caught:
                    await asyncio.wait_for(client.publish("a:1", "ADDED", {"entity_id": "late"}, timeout=0.2), 20)
                assert (caught.value.code, caught.value.retryable) == ("unavailable", True)
                late = asyncio.ensure_future(client.publish_many([hookwire.event("a:1", "ADDED", {"entity_id": "late"})]))
                await asyncio.sleep(0)
                late.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await late
            finally:
                hold.set()
            assert {one.id for one in await asyncio.gather(*waiting)} == {"k-1"}
        assert not any(b"late" in body for body in bodies)

    bodies = []
    with service(lambda _, body: bodies.append(body) or (hold.wait(30) and (200, {}, b'{"ok":true,"id":"k-1"}'))) as address:
        asyncio.run(run(address))


def test_an_async_function_may_give_the_token(url, token):
    async def run():
        loop = asyncio.get_running_loop()

        async def give():
            assert asyncio.get_running_loop() is loop  # where its own connections are
            return token

        async with hookwire.AsyncClient(url, give) as client:
            first = await client.publish("a:1", "ADDED", {"entity_id": "a"})
        return first, await client.publish("a:1", "ADDED", {"entity_id": "b"})  # also after it was closed
    assert all(one.id for one in asyncio.run(run()))


def test_an_outbox_takes_its_token_of_an_async_function_too(url, token, events):
    async def give():
        await asyncio.sleep(0)
        return token

    given_up = []
    outbox = hookwire.Outbox(hookwire.AsyncClient(url, give), patience=1, on_error=lambda *one: given_up.append(one))
    outbox.add("token:1", "ADDED", {"entity_id": "a"})
    assert outbox.close()
    assert given_up == []
    assert len(events("token:1")) == 1


def test_an_async_function_that_gives_no_token_has_the_time_of_the_publish_and_is_ended(url):
    async def run():
        ended = asyncio.Event()

        async def give():
            try:
                await asyncio.get_running_loop().create_future()  # for ever
            finally:
                ended.set()

        async with hookwire.AsyncClient(url, give, timeout=60) as client:
            with pytest.raises(hookwire.HookwireError, match="there is no token"):
                await asyncio.wait_for(client.publish("a:1", "ADDED", {"entity_id": "a"}, timeout=0.2), 20)
            await asyncio.wait_for(ended.wait(), 20)
    asyncio.run(run())


def test_a_function_that_gives_no_token_now_is_asked_again():
    answers = [RuntimeError("no token now"), "token"]

    def token():
        if isinstance(answers[0], Exception):
            raise answers.pop(0)
        return answers[0]

    with service(lambda *_: (200, {}, b'{"ok":true,"id":"k-1"}')) as address:
        assert hookwire.Client(address, token).publish("a:1", "ADDED", {"entity_id": "a"}).id
        with pytest.raises(hookwire.HookwireError) as caught:
            hookwire.Client(address, lambda: {}["none"], timeout=0.1).publish("a:1", "ADDED", {"entity_id": "a"})
    assert caught.value.code == "unavailable" and isinstance(caught.value.__cause__, KeyError)


def test_what_no_header_may_hold_is_told_without_the_token(url, token):
    assert hookwire.Client(url, token + "\n").publish("a:1", "ADDED", {"entity_id": "a"}).id  # as it stands in a file
    with pytest.raises(hookwire.HookwireError) as caught:
        hookwire.Client(url, "sec\nret").publish("a:1", "ADDED", {"entity_id": "a"})
    assert caught.value.code == "unauthorized" and "ret" not in str(caught.value)
    for key in ("ключ", "é", "a\nb", "x" * 257):
        with pytest.raises(ValueError, match="a key is"):
            hookwire.event("a:1", "ADDED", {"entity_id": "a"}, key=key)


def forked(run):
    """Is run() true in a child of this process?"""
    child = os.fork()
    if not child:
        signal.alarm(30)  # a child that hangs ends
        try:
            os._exit(0 if run() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_of_the_process_has_connections_and_threads_of_its_own():
    ports, sizes, hold = [], [], threading.Event()

    def answer(handler, body):
        ports.append(handler.client_address[1])
        all_ = json.loads(body)
        sizes.append(len(all_) if isinstance(all_, list) else 0)
        if isinstance(all_, list) and all_[0]["data"]["entity_id"] == "parent":
            hold.wait(10)
        return 200, {}, json.dumps({"ok": True, "id": "k-1", "results": [{"ok": True, "id": "k-1"}] * sizes[-1]}).encode()

    with service(answer) as address:
        client, other = hookwire.Client(address), hookwire.AsyncClient(address)

        def publish():
            asyncio.run(other.publish("a:1", "ADDED", {"entity_id": "a"}))
            return client.publish("a:1", "ADDED", {"entity_id": "a"}).id

        def fill(entity):
            return outbox.add("a:1", "ADDED", {"entity_id": entity}) and outbox.flush(10)

        publish()
        with client._lock:  # as another thread may have it
            assert forked(publish)
        publish()
        assert not {*ports[:2], *ports[4:]} & {*ports[2:4]}, "the child speaks on its parent's connections"

        outbox = hookwire.Outbox(client)
        outbox.add("a:1", "ADDED", {"entity_id": "parent"})
        hwtest.wait_until(lambda: sizes[-1] == 1, 10, "the parent's event is under way")
        assert forked(lambda: fill("child"))
        hold.set()
        assert outbox.close()
        assert sizes[6:] == [1, 1]  # of each its own


def test_the_outbox_publishes_in_order_and_says_what_it_gives_up(url, token, events):
    given_up = []
    outbox = hookwire.Outbox(hookwire.Client(url, token), on_error=lambda event, error: given_up.append((event["topic"], error.code)))
    for n in range(300):
        assert outbox.add("outbox:1" if n != 7 else "sealed:1", "UPDATED", {"n": n}, entity_id="e")
    assert outbox.close()
    assert [event["data"]["payload"]["n"] for event in events("outbox:1")][:8] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert given_up == [("sealed:1", "forbidden_topic")]
    assert not outbox.add("outbox:1", "UPDATED", {"entity_id": "e"})


def test_an_outbox_takes_an_event_as_it_is_now(url, token, events):
    gift = {"n": 1}
    with hookwire.Outbox(hookwire.AsyncClient(url, token)) as outbox:
        outbox.add("now:1", "UPDATED", gift, entity_id="e")
        gift["n"] = 2
        with pytest.raises(TypeError):
            outbox.add("now:1", "UPDATED", object(), entity_id="e")
    assert [event["data"]["payload"] for event in events("now:1")] == [{"n": 1}]


def test_an_outbox_waits_as_long_as_the_broker_says_and_through_a_silence():
    bodies, given_up = [], []

    def answer(_, body):
        bodies.append(body)
        if len(bodies) == 1:
            return 503, {"Retry-After": "1"}, b""
        if len(bodies) == 2:
            over.wait(10)
        return 200, {}, b'{"results":[{"ok":true,"id":"k-1"}]}'

    over = threading.Event()
    with service(answer) as address:
        outbox = hookwire.Outbox(hookwire.Client(address, timeout=0.7), on_error=lambda *one: given_up.append(one))
        outbox.add("a:1", "ADDED", {"entity_id": "a"})
        assert outbox.flush(20)
        over.set()
    assert given_up == []
    assert len(bodies) > 2 and len(set(bodies)) == 1


def test_of_a_broker_that_stays_away_too_long_nothing_more_is_asked_and_the_outbox_is_given_up():
    asked, given_up, over = [], [], threading.Event()

    def answer(*_):
        asked.append(1)
        over.wait(10)
        return 503, {"Retry-After": "3600"}, b""

    with service(answer) as address:
        outbox = hookwire.Outbox(hookwire.Client(address), on_error=lambda event, error: given_up.append((event["data"]["entity_id"], error.code)))
        for n in range(250):
            outbox.add("a:1", "ADDED", {"entity_id": str(n)})
        over.set()
        assert outbox.flush(20)
    assert given_up == [(str(n), "unavailable") for n in range(250)]
    assert len(asked) == 1


def test_an_outbox_is_bounded():
    hold = threading.Event()
    with service(lambda *_: hold.wait(10) and None) as address:
        outbox = hookwire.Outbox(hookwire.Client(address, timeout=0.2), size=5, patience=0.2)
        assert [outbox.add("a:1", "ADDED", {"entity_id": "a"}) for _ in range(6)] == [True] * 5 + [False]
        hold.set()
        assert outbox.flush(10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_outbox_goes_on_after_what_its_program_raises():
    given_up, broken = [], {"one": RuntimeError("no token now"), "two": TypeError("no token either")}

    def token():
        for error in broken.values():
            raise error
        return "token"

    def on_error(event, error):
        broken.pop(event["data"]["entity_id"])
        given_up.append((event["data"]["entity_id"], error.code))
        raise RuntimeError("of on_error")

    def answer(_, body):
        return 207, {}, json.dumps({"results": [{"ok": True, "id": "k-1"} for _ in json.loads(body)]}).encode()

    with service(answer) as address:
        outbox = hookwire.Outbox(hookwire.Client(address, token, timeout=1), patience=1, on_error=on_error)
        for entity in ("one", "two", "three"):
            assert outbox.add("a:1", "ADDED", {"entity_id": entity})
            assert outbox.flush(15), f"{entity} holds it up"
        assert outbox.close()
    assert given_up == [("one", "unavailable"), ("two", "unavailable")]


def test_an_array_keeps_the_results_it_has_when_the_broker_is_then_away():
    bodies = []

    def answer(_, body):
        bodies.append(json.loads(body))
        if len(bodies) > 1:
            return 403, {}, b'{"code":"forbidden_topic","message":"not any more","retryable":false}'
        return 207, {}, b'{"results":[{"ok":true,"id":"k-1"},{"ok":false,"code":"rate_limited","message":"","retryable":true,"retry_after_ms":1}]}'

    with service(answer) as address:
        results = hookwire.Client(address).publish_many([hookwire.event("a:1", "ADDED", {"entity_id": str(n)}) for n in range(2)])
    assert results[0].id == "k-1"
    assert results[1].code == "forbidden_topic"
    assert len(bodies) == 2


def test_arrays_behind_one_that_failed_are_not_asked_for_and_what_is_stored_keeps_its_result():
    sizes = []

    def answer(_, body):
        sizes.append(len(json.loads(body)))
        if len(sizes) > 1:
            return 403, {}, b'{"code":"forbidden_topic","message":"not any more","retryable":false}'
        return 207, {}, json.dumps({"results": [{"ok": True, "id": f"k-{n}"} for n in range(sizes[0])]}).encode()

    with service(answer) as address:
        results = hookwire.Client(address).publish_many([hookwire.event("a:1", "ADDED", {"entity_id": str(n)}) for n in range(2500)])
    assert sizes == [1000, 1000]
    assert [one.id for one in results[:1000]] == [f"k-{n}" for n in range(1000)]
    assert [one.code for one in results[1000:]] == ["forbidden_topic"] * 1500


def test_what_is_refused_for_now_until_the_time_is_over_is_not_overtaken_by_the_arrays_behind_it():
    sizes = []

    def answer(_, body):
        sizes.append(len(json.loads(body)))
        refused = {"ok": False, "code": "rate_limited", "message": "", "retryable": True, "retry_after_ms": 60000}
        return 207, {}, json.dumps({"results": [{"ok": True, "id": f"k-{n}"} if n < 999 else refused for n in range(sizes[-1])]}).encode()

    with service(answer) as address:
        results = hookwire.Client(address).publish_many([hookwire.event("a:1", "ADDED", {"entity_id": str(n)}) for n in range(1500)])
    assert sizes == [1000]
    assert results[998].id == "k-998"
    assert [one.code for one in results[999:]] == ["rate_limited"] * 501


def test_a_broker_that_is_silent_on_an_idle_connection_is_not_asked_over_another_one():
    asked, hold = [], threading.Event()

    def answer(*_):
        asked.append(1)
        if len(asked) > 1:
            hold.wait(10)
            return None
        return 200, {}, b'{"ok":true,"id":"k-1"}'

    with service(answer) as address:
        client = hookwire.Client(address, timeout=0.5)
        client.publish("a:1", "ADDED", {"entity_id": "a"})
        with pytest.raises(hookwire.HookwireError):
            client.publish("a:1", "ADDED", {"entity_id": "a"})
        hold.set()
    assert len(asked) == 2


def test_webhooks_of_the_broker_are_verified():
    with hwtest.WebhookService() as receiver:
        config = {"hooks": [*hwtest.base_config()["hooks"], {"name": "tell", "plugin": "webhook", "config": {
            "url": receiver.url, "secret": hwtest.WEBHOOK_SECRETS[0], "events": ["connect"]}}]}
        with hwtest.Broker(config) as own, hwtest.WsClient(own.address, token=hwtest.mint("alice")):
            hwtest.wait_until(lambda: receiver.seen, 10, "a webhook")
    headers, raw = receiver.seen[0]["headers"], receiver.seen[0]["raw"]
    assert hookwire.verify_webhook(headers, raw, hwtest.WEBHOOK_SECRETS)["data"]["user_id"] == "alice"
    for bad_headers, bad_raw, secrets, more in (
            (headers, raw + b" ", hwtest.WEBHOOK_SECRETS, {}), (headers, raw, hwtest.WEBHOOK_SECRETS[1], {}), ({}, raw, hwtest.WEBHOOK_SECRETS, {}),
            (headers, raw, hwtest.WEBHOOK_SECRETS, {"now": int({k.lower(): v for k, v in headers.items()}["webhook-timestamp"]) + 301})):
        with pytest.raises(hookwire.WebhookError):
            hookwire.verify_webhook(bad_headers, bad_raw, secrets, **more)


def signed(key, body=b"{}", stamp=1000, message_id="a"):
    signature = base64.b64encode(hmac.new(key, b"%s.%d." % (message_id.encode(), stamp) + body, "sha256").digest()).decode()
    return {"Webhook-Id": message_id, "Webhook-Timestamp": str(stamp), "Webhook-Signature": "v1,nonsense v2,older v1," + signature}


def test_a_secret_may_be_without_padding_and_a_body_may_be_text():
    key = b"the key, of 25 bytes here"
    secret = "whsec_" + base64.b64encode(key).decode().rstrip("=")
    assert hookwire.verify_webhook(signed(key), "{}", [secret], now=1000) == {}
    assert hookwire.verify_webhook(signed(key), bytearray(b"{}"), secret, now=1300) == {}
    for now in (699, 1301):
        with pytest.raises(hookwire.WebhookError):
            hookwire.verify_webhook(signed(key), b"{}", secret, now=now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ="])
def test_with_a_key_that_everybody_knows_nothing_is_verified(secret):
    headers = signed(base64.b64decode(secret[6:] + "=="))
    with pytest.raises(ValueError, match="whsec_"):
        hookwire.verify_webhook(headers, b"{}", secret, now=1000)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-signature"])
def test_a_header_of_strange_bytes_is_refused_as_any_other(name):
    headers = {"webhook-id": "a", "webhook-timestamp": "3", "webhook-signature": "v1,x", name: b"v1,\xff".decode("utf-8", "surrogateescape")}
    with pytest.raises(hookwire.WebhookError):
        hookwire.verify_webhook(headers, b"{}", hwtest.WEBHOOK_SECRETS, now=3)


@pytest.mark.parametrize("stamp", ["", "soon", "-3", "\u00b2", "\u0663", "3" * 5000], ids=["none", "word", "negative", "superscript", "arabic", "endless"])
def test_a_webhook_with_a_time_that_is_none_is_refused_as_any_other(stamp):
    headers = {"webhook-id": "a", "webhook-timestamp": stamp, "webhook-signature": "v1,x"}
    with pytest.raises(hookwire.WebhookError):
        hookwire.verify_webhook(headers, b"{}", "whsec_YQ==", now=3)
