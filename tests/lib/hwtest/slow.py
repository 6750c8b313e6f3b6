"""A crowd of which some stop reading for a while: nobody is closed, everybody has every event in order, memory is bounded."""
import time

from .broker import Broker
from .check import check, equal
from .http import HttpConnection
from .storm import TENANTS, Crowd
from .token import mint
from .wait import stretched, wait_until

OUTBOX_BYTES = 65536
RETENTION_BYTES = 32 << 20  # of each tenant
SLACK_BYTES = 8 << 20       # allocators, and the segments at whose edges the slow stand

# AddressSanitizer keeps what was freed for a while, and 256 MB of it: not where memory is measured
ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=1"}


def config():
    """A broker whose slow clients have as long as they like."""
    return {"workers": 2, "log": {"level": "info"},
            "slow": {"outbox_bytes": OUTBOX_BYTES, "deadline_ms": 3600000},
            "journal": {"retention": {"count": 10000000, "bytes": RETENTION_BYTES}},
            "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}],
                              "limits": {"connections": 100000, "subscriptions": 100000, "publish_per_s": 1000000}}}}


def fill_journal(broker, pad):
    """As many events of no interest, of the size of the others, as are retained: from then on the journals do not grow."""
    item = {"topic": "filler:1", "event": "UPDATED", "data": {"entity_id": "gift-1", "payload": "x" * pad}}
    for tenant in TENANTS:
        bearer = [("Authorization", "Bearer " + mint("backend", tenant))]
        with HttpConnection(broker.address) as connection:
            for _ in range(RETENTION_BYTES // (100 * pad) + 1):
                equal(connection.request("POST", "/publish", bearer, [item] * 100).status, 200, "publish")


class _Memory:
    """The most that the broker had."""

    def __init__(self, broker):
        self.broker, self.before = broker, broker.rss_bytes()
        self.most = self.before

    def look(self):
        """Looks; returns true."""
        self.most = max(self.most, self.broker.rss_bytes())
        return True


def _tell(phase):
    print("{phase}: {deliveries} deliveries to the others in {seconds:.0f} s, p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms".format(**phase), flush=True)


def stop_reading_and_go_on(sessions, slow, events_per_s, pad, seconds):
    """The whole of it: `slow` of the sessions stop reading, for so long at least, and until all of them are behind."""
    with Broker(config(), env=ENV) as broker:
        fill_journal(broker, pad)
        with Crowd(broker, TENANTS, sessions, events_per_s * 10, slow=slow, pad=pad) as crowd:
            crowd.begin("all read")
            wait_until(lambda: broker.metric("hookwire_events_delivered_total") > 5 * sessions, 60, "deliveries to all")
            _tell(crowd.end())
            memory = _Memory(broker)

            def wait(condition, seconds, what):
                wait_until(lambda: crowd.ended() or memory.look() and condition(), seconds, what, interval=0.1)
                crowd.check()
            crowd.stop()
            crowd.begin(f"{slow} do not")
            began = time.monotonic()
            wait(lambda: time.monotonic() - began >= seconds and broker.metric("hookwire_slow_sessions_total") >= slow,
                 seconds + 60, "all of the slow to be behind")
            _tell(crowd.end())
            missed = crowd.slow()["missed"]
            check(missed > 0, "they missed nothing: the test is too small")
            crowd.go_on()
            crowd.begin("they read again")
            wait(lambda: crowd.slow()["behind"] == 0, 120, "all of the slow to be level")
            _tell(crowd.end())
            caught_up_ms = crowd.slow()["caught_up_ms"]
            grown = memory.most - memory.before
            print(f"the {slow} missed {missed} deliveries, and had them after {caught_up_ms:.0f} ms; memory {memory.before >> 20} MiB before, "
                  f"{memory.most >> 20} at worst, {broker.rss_bytes() >> 20} after", flush=True)
            check(stretched() or grown <= slow * OUTBOX_BYTES + SLACK_BYTES, f"memory grew by {grown >> 10} KiB")
            equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
            equal(broker.metric("hookwire_sessions"), sessions + len(TENANTS), "who is there")
