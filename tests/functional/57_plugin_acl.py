#!/usr/bin/python3
# An access list in a file decides; after SIGHUP the edited file does, a wrong one is refused by its place and the old list goes on.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

CONFIG = {"tenants": {"*": {"hooks": [{"name": "acl", "plugin": "acl", "config": {"rules": "@file:acl.json", "otherwise": "deny"}}]}},
          "workers": 2}
FIRST = """// who may see what
[
  { "allow": ["subscribe"], "topics": ["gift-list:{claims.families}", "user:{user_id}"] },
  { "allow": ["wildcard", "publish"], "topics": ["gift-list:*"], "claims": { "role": "admin" } } /* and nobody else */
]
"""


class ListBroker(Broker):
    """A broker with FIRST as its list from the start."""

    def write_config(self, config=None):
        if not (self.dir / "acl.json").exists():
            (self.dir / "acl.json").write_text(FIRST)
        return super().write_config(config)


def client_of(broker, user, **claims):
    client = WsClient(broker.address, token=mint(user, **claims), protocols=["hookwire.v1"])
    client.recv_where({"type": "welcome"})
    return client


def verdict(client, topic):
    """True when the topic may be subscribed to, else the code."""
    answer = client.request({"type": "subscribe", "topics": [topic]})["topics"][topic]
    client.request({"type": "unsubscribe", "topics": [topic]})
    return True if answer["ok"] else answer["code"]


def test_the_list_decides():
    with ListBroker(CONFIG) as broker, client_of(broker, "amy", families=["smith", "jones"]) as amy, \
            client_of(broker, "root", role="admin") as root:
        for client, topic, expected in ((amy, "gift-list:smith", True), (amy, "gift-list:jones", True),
                                        (amy, "gift-list:brown", "forbidden_topic"), (amy, "gift-list:*", "forbidden_topic"),
                                        (amy, "user:amy", True), (amy, "user:root", "forbidden_topic"),
                                        (root, "gift-list:*", True), (root, "gift-list:smith", "forbidden_topic")):
            equal(verdict(client, topic), expected, topic)
        amy.subscribe("gift-list:smith")
        event = {"type": "publish", "topic": "gift-list:smith", "event": "ADDED", "data": {"entity_id": "g1"}}
        equal(amy.request(event)["code"], "forbidden_topic", "amy publishes")
        equal(root.request(event)["type"], "ack", "root publishes")
        equal(amy.recv_where({"topic": "gift-list:smith"})["data"]["entity_id"], "g1", "the event")


def test_the_first_rule_that_fits_decides_users_are_named_whole_and_so_are_topics():
    rules = [{"deny": ["subscribe"], "topics": ["news:*"], "claims": {"suspended": True}},
             {"allow": ["subscribe"], "topics": ["news:*"], "users": ["amy", "ben"]},
             {"deny": ["subscribe"], "topics": ["news:1"]},
             {"allow": ["subscribe", "wildcard"], "topics": ["gift-list:{claims.family}", "team:a-*", "other:*"]}]
    config = merge(CONFIG, {"tenants": {"*": {"hooks": [{"name": "acl", "plugin": "acl", "config": {"rules": rules, "otherwise": "deny"}},
                                                        {"name": "open", "lua": "open.lua"}]}}})
    with Broker(config, files={"open.lua": OPEN_POLICY}) as broker, client_of(broker, "amy", family="smith") as amy, \
            client_of(broker, "amy", suspended=True) as suspended, client_of(broker, "am") as am, \
            client_of(broker, "star", family="*") as star:
        for client, topic, expected in ((amy, "news:1", True), (suspended, "news:1", "forbidden_topic"), (am, "news:1", "forbidden_topic"),
                                        (amy, "gift-list:smith", True), (amy, "gift-list:smithson", "forbidden_topic"),
                                        (amy, "gift-list:smit", "forbidden_topic"), (am, "gift-list:smith", "forbidden_topic"),
                                        (am, "team:a-1", True), (am, "team:b-1", "forbidden_topic"), (am, "team:*", "forbidden_topic"),
                                        (star, "gift-list:*", "forbidden_topic")):
            equal(verdict(client, topic), expected, topic)
        # what no rule fits is left to the entries after it, unless it says otherwise
        config["tenants"]["*"]["hooks"][0]["config"]["otherwise"] = "defer"
        broker.write_config(merge(broker.config, {"tenants": config["tenants"]}))
        broker.sighup()
        wait_until(lambda: verdict(amy, "gift-list:smithson") is True, 10, "what the second entry allows", interval=0.03)
        equal(verdict(am, "news:1"), "forbidden_topic", "what a rule denies the second entry is not asked about")


def test_an_edited_list_decides_after_sighup_and_a_wrong_one_does_not():
    with ListBroker(CONFIG) as broker, client_of(broker, "amy", families="smith") as amy:
        equal([verdict(amy, "gift-list:smith"), verdict(amy, "news:1")], [True, "forbidden_topic"], "the first list")
        path = broker.dir / "acl.json"
        path.write_text('[{ "allow": ["subscribe"], "topics": ["news:*"] }]')
        equal(verdict(amy, "news:1"), "forbidden_topic", "before the signal")
        broker.sighup()
        wait_until(lambda: verdict(amy, "news:1") is True, 10, "the second list", interval=0.03)
        equal(verdict(amy, "gift-list:smith"), "forbidden_topic", "the second list")
        path.write_text('[\n  { "allow": ["subscribe"],\n    "topics": ["news:{name}"] }\n]')
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log(r"hookwire\.json:\d+:\d+: .*line 3, column 16 \(/0/topics/0\): nobody knows \{name\}", since=mark)
        equal(verdict(amy, "news:1"), True, "the second list goes on")


main()
