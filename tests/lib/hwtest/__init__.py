"""What the functional tests are written with: a real broker, tokens, and clients that can misbehave.

A test file begins with

    #!/usr/bin/python3
    # What it proves, in a line.
    import pathlib
    import sys
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
    from hwtest import *

has functions named test_*, and ends in `main()`. README.md in this folder's parent lists what there is.
"""
from .broker import ADMIN_TOKEN, OPEN_POLICY, ROOT, Broker, BrokerDied, base_config, binary, cli, merge, tight
from .check import Failure, check, contains, equal, raises
from .curl import Curl
from .exposition import read_exposition
from .gate import GateBroker
from .http import HttpConnection, Response, http, parse_status
from .proxy import Proxy, ShippedProxy, free_port
from .run import Forbidden, Skipped, main, need_files, seed_of_run, temporary_directory
from .sse import SseClient, SseMessage, SseParser, SseRefused
from .token import SECRET, encode_jwt, mint
from .wait import in_background, lua_can_be_ended, scaled, stretched, wait_until
from .webhook import WEBHOOK_KEYS, WEBHOOK_SECRETS, WebhookService, webhook_signature
from .ws import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, Frame, Refused, WsClient, encode_frame)

__all__ = [
    "ADMIN_TOKEN", "BINARY", "Broker", "BrokerDied", "CLOSE", "CONTINUATION", "Closed", "Curl", "Failure", "Forbidden", "Frame",
    "GateBroker", "HttpConnection", "OPEN_POLICY", "PING", "PONG", "Proxy", "ROOT", "Refused", "Response", "SECRET",
    "ShippedProxy", "Skipped", "SseClient", "SseMessage", "SseParser", "SseRefused", "TEXT",
    "WEBHOOK_KEYS", "WEBHOOK_SECRETS", "WebhookService", "WsClient", "base_config", "binary", "check", "cli", "contains", "encode_frame", "encode_jwt", "equal", "free_port", "http",
    "in_background", "lua_can_be_ended", "main", "merge", "mint", "need_files", "parse_status", "raises", "read_exposition", "scaled", "seed_of_run", "stretched", "temporary_directory",
    "tight", "wait_until", "webhook_signature",
]
