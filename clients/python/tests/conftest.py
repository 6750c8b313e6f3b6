"""The broker's own test library runs a real broker for these tests."""
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[3] / "tests" / "lib")]

import hwtest  # noqa: E402

POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function() return allow() end,
    publish = function(s, topic)
      if topic.resource == "sealed" then return deny("forbidden_topic", "read only") end
      return allow { act_as = true }
    end,
  },
}
"""


@pytest.fixture(scope="session")
def broker():
    with hwtest.Broker(files={"open.lua": POLICY}) as running:
        yield running


@pytest.fixture
def url(broker):
    return f"http://{broker.address}"


@pytest.fixture
def token():
    return hwtest.mint("backend")


@pytest.fixture
def events(broker, token):
    """What a topic's journal holds."""
    def read(topic):
        return hwtest.http(broker.address, "GET", f"/topics/{topic}/history", [("Authorization", f"Bearer {token}")]).json()["events"]
    return read
