"""What a reader of the Python client's page has of their own, for its examples: tokens, an application, a model."""
import asyncio
import json
import os
import threading
import time
import urllib.request

import fastapi
import pydantic
import uvicorn
from fastapi import Depends

TOKEN = os.environ["HOOKWIRE_TOKEN"]
app = fastapi.FastAPI()


class Gift(pydantic.BaseModel):
    name: str


def finish(names):
    """Asks the application to publish, where the page has given it a route."""
    if "edit" not in names:
        return
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:  # the test has a time limit
        time.sleep(0.005)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        body = json.dumps({"name": "Bike"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/gifts/gift-456", body, {"Content-Type": "application/json"}, method="PUT")
        assert urllib.request.urlopen(request).status == 200
    finally:
        server.should_exit = True
        thread.join()


__all__ = ["Depends", "Gift", "TOKEN", "app", "finish"]
