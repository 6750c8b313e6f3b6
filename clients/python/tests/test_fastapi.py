"""With a real FastAPI behind a real uvicorn, and models of pydantic 1 and 2."""
import asyncio
import threading
import urllib.request

import fastapi
import hookwire
import hwtest
import pydantic
import pydantic.v1
import uvicorn
from fastapi import Depends


class Gift(pydantic.BaseModel):
    name: str


class OldGift(pydantic.v1.BaseModel):
    name: str


def test_a_request_publishes_with_its_trace(url, token, events):
    app = fastapi.FastAPI()
    publisher = hookwire.fastapi_publisher(hookwire.AsyncClient(url, token))

    @app.put("/gifts/{gift_id}")
    async def edit(gift_id: str, gift: Gift, publish=Depends(publisher)):
        await publish("fastapi:1", "UPDATED", gift, entity_id=gift_id)
        await publish("fastapi:1", "UPDATED", OldGift(name="old"), entity_id=gift_id)
        return {"ok": True}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    hwtest.wait_until(lambda: server.started, 15, "uvicorn is there")
    port = server.servers[0].sockets[0].getsockname()[1]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/gifts/g7", b'{"name":"Bike"}', method="PUT",
        headers={"Content-Type": "application/json", "traceparent": f"00-{'c' * 32}-{'d' * 16}-01"})
    try:
        assert urllib.request.urlopen(request, timeout=15).status == 200
    finally:
        server.should_exit = True
        thread.join(15)
    stored = events("fastapi:1")
    assert [event["data"]["payload"] for event in stored] == [{"name": "Bike"}, {"name": "old"}]
    assert {event["trace_id"] for event in stored} == {"c" * 32}
    assert {event["data"]["entity_id"] for event in stored} == {"g7"}
