"""With a real FastAPI behind a real uvicorn, and models of pydantic 1 and 2."""
import asyncio
import contextlib
import threading
import urllib.request

import fastapi
import hookwire
import hwtest
import pydantic
import pydantic.v1
import pytest
import uvicorn
from fastapi import Depends

TRACE = f"00-{'c' * 32}-{'d' * 16}-01"


class Gift(pydantic.BaseModel):
    name: str


class OldGift(pydantic.v1.BaseModel):
    name: str


@contextlib.contextmanager
def serving(app):
    """The app behind a real uvicorn; its host and port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        hwtest.wait_until(lambda: server.started, 15, "uvicorn is there")
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(15)


def ask(address, path, method="PUT", body=b'{"name":"Bike"}'):
    request = urllib.request.Request(f"http://{address}{path}", body, method=method, headers={"Content-Type": "application/json", "traceparent": TRACE})
    with urllib.request.urlopen(request, timeout=15) as response:
        return response.status


def test_a_request_publishes_with_its_trace(url, token, events):
    app = fastapi.FastAPI()
    publisher = hookwire.fastapi_publisher(hookwire.AsyncClient(url, token))

    @app.put("/gifts/{gift_id}")
    async def edit(gift_id: str, gift: Gift, publish=Depends(publisher)):
        await publish("fastapi:1", "UPDATED", gift, entity_id=gift_id)
        await publish("fastapi:1", "UPDATED", OldGift(name="old"), entity_id=gift_id)
        return {"ok": True}

    with serving(app) as address:
        assert ask(address, "/gifts/g7") == 200
    stored = events("fastapi:1")
    assert [event["data"]["payload"] for event in stored] == [{"name": "Bike"}, {"name": "old"}]
    assert {event["trace_id"] for event in stored} == {"c" * 32}
    assert {event["data"]["entity_id"] for event in stored} == {"g7"}


@pytest.mark.parametrize("client", [hookwire.Client, hookwire.AsyncClient])
def test_what_is_published_behind_the_answer_is_published(url, token, events, client):
    app = fastapi.FastAPI()
    publisher = hookwire.fastapi_publisher(client(url, token))
    topic = f"behind:{client.__name__.lower()}"

    @app.put("/later")
    async def later(tasks: fastapi.BackgroundTasks, publish=Depends(publisher)):
        tasks.add_task(publish, topic, "UPDATED", {"entity_id": "e"})

    with serving(app) as address:
        assert ask(address, "/later") == 200
        stored = hwtest.wait_until(lambda: events(topic), 10, "the event")
    assert [event["trace_id"] for event in stored] == ["c" * 32]


def test_a_websocket_of_the_application_publishes_too(url, token, events):
    app = fastapi.FastAPI()
    publisher = hookwire.fastapi_publisher(hookwire.AsyncClient(url, token))

    @app.websocket("/own")
    async def own(websocket: fastapi.WebSocket, publish=Depends(publisher)):
        await websocket.accept()
        await publish("websocket:1", "UPDATED", {"entity_id": "e"})
        await websocket.close()

    scope = {"type": "websocket", "path": "/own", "headers": [(b"traceparent", TRACE.encode())], "query_string": b""}
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(app(scope, receive, send))
    assert sent == ["websocket.accept", "websocket.close"]
    assert [event["trace_id"] for event in events("websocket:1")] == ["c" * 32]
