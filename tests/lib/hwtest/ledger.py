"""What was published, and what each of many sessions is owed of it and got: every event once, in order, and nothing else.

Sessions here are followers: they live through many connections, over whatever transport, and keep a cursor for each of
their subscriptions. Who is owed what follows from where its subscriptions began and from what its level lets it see.
"""
import itertools
import threading

from .check import Failure, check
from .database import number_of

MANY = 5  # numbers in a message


def covers(subscription, topic):
    """Whether a topic is of a subscription, which is a name or resource:*."""
    return topic.startswith(subscription[:-1]) if subscription.endswith(":*") else topic == subscription


class Sent:
    """An event that somebody publishes."""

    def __init__(self, n, tenant, topic, level):
        self.n, self.tenant, self.topic, self.level = n, tenant, topic, level
        self.numbers = set()  # the journal's: one, once it is acknowledged
        self.unsure = False   # the broker was started again between its first attempt and its ack


class Ledger:
    """All that was published, by its number in the tenant's journal. Any thread."""

    def __init__(self, keys_survive_a_restart):
        self.keys_survive_a_restart = keys_survive_a_restart
        self.lock = threading.Lock()
        self.counts = {}
        self.sent = {}
        self.numbered = {}   # tenant -> number -> Sent, as acks and deliveries say
        self._n = itertools.count(1)

    def count(self, what, by=1):
        """Adds to a figure of the report."""
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + by

    def new(self, tenant, topic, level):
        """An event that is about to be published."""
        with self.lock:
            sent = Sent(next(self._n), tenant, topic, level)
            self.sent[sent.n] = sent
        return sent

    def place(self, sent, event_id, who):
        """Somebody was told an event's id."""
        number = number_of(event_id)
        with self.lock:
            other = self.numbered.setdefault(sent.tenant, {}).setdefault(number, sent)
            sent.numbers.add(number)
            stored_once = len(sent.numbers) == 1 or (sent.unsure and not self.keys_survive_a_restart)
        check(other is sent, f"{who}: {event_id} of {sent.tenant} is event {sent.n}, and was {other.n} before")
        check(stored_once, f"{who}: event {sent.n} of {sent.tenant} {sent.topic} is stored as {sorted(sent.numbers)}")

    def close(self, kept):
        """All is published. kept: what the journal has, tenant -> [(number, n)]; checks it against what was told."""
        for tenant, rows in kept.items():
            told = self.numbered.setdefault(tenant, {})
            stored = dict(rows)
            check(len(stored) == len(rows), f"{tenant}: a number is there twice")
            lost = {number: sent.n for number, sent in told.items() if stored.get(number) != sent.n}
            check(not lost, f"{tenant}: {len(lost)} were acknowledged or delivered and are not stored as that: {dict(list(lost.items())[:MANY])}")
            for number, n in rows:
                self.place(self.sent[n], f"-{number}", "the journal")
        self.count("stored twice across a restart", sum(len(s.numbers) > 1 for s in self.sent.values()))
        missing = [s.n for s in self.sent.values() if not s.numbers and s.tenant in kept and s.level is not None]
        check(not missing, f"{len(missing)} were acknowledged and have no number: {missing[:MANY]}")


class Line:
    """One connection of a follower, or one poll: what is subscribed on it and how far it has come."""

    def __init__(self, way, number=0):
        self.way, self.number, self.told_by = way, number, "its beginning"
        self.live, self.recovering = set(), set()
        self.pending = {}  # id of a request -> (what, subscriptions)

    def __repr__(self):
        return self.way


class Book:
    """What one follower is owed and has got; and where it resumes.

    units   lists of subscriptions; those of a list may cover each other and are subscribed together
    level   events above it are withheld; inner: whether it is shown payload.inner
    """

    def __init__(self, ledger, tenant, name, units, level, sees_inner):
        self.ledger, self.tenant, self.name, self.level, self.sees_inner = ledger, tenant, name, level, sees_inner
        self.units = units
        self.begins = {}   # subscription -> the number behind which it is owed
        self.at = {}       # subscription -> cursor
        self.steps = {}    # subscription -> [(the number that it stands at, over what)]
        self.got = {}      # number -> the way it came
        self.unnumbered = set()
        self.newest = {}   # topic -> its newest number
        self.last_event = None

    def __str__(self):
        return f"{self.tenant}/{self.name}"

    def fail(self, line, what):
        """The failure, with whose it is."""
        raise Failure(f"{self} over {line} ({len(self.got)} events so far): {what}")

    # ---- where it stands

    def begin(self, subscription, cursor):
        """A subscription without a cursor begins here."""
        self.begins[subscription] = number_of(cursor)
        self.at[subscription] = cursor
        self.steps[subscription] = []

    def advance(self, line, subscriptions, cursor):
        """All of these subscriptions up to a cursor has come."""
        for s in subscriptions:
            if number_of(cursor) > number_of(self.at[s]):
                self.at[s] = cursor
                self.steps[s].append((number_of(cursor), str(line)))

    def move(self, line, cursor):
        """The session's cursor was told."""
        if number_of(cursor) < line.number:
            self.fail(line, f"the cursor goes back from {line.number} to {cursor}")
        line.number, line.told_by = number_of(cursor), "a cursor"
        self.advance(line, line.live, cursor)

    def groups(self):
        """The units that have begun, by where they stand: {cursor: [units]}."""
        groups = {}
        for unit in self.units:
            if not all(s in self.at for s in unit):
                continue
            for narrow, wide in itertools.permutations(unit, 2):
                if covers(wide, narrow):  # which had all of it, too
                    self.advance(wide, [narrow], self.at[wide])
            cursors = {self.at[s] for s in unit}
            check(len(cursors) == 1, f"{self}: {unit} stand apart: {sorted(cursors)}")
            groups.setdefault(cursors.pop(), []).append(unit)
        return groups

    # ---- what comes

    def take(self, line, event):
        """An event has come."""
        data = event["data"]
        n = data["payload"]["n"]
        sent = self.ledger.sent.get(n)
        if not sent or sent.tenant != self.tenant or sent.topic != event["topic"] or data["tenant_id"] != self.tenant:
            self.fail(line, f"event {n} {event.get('id')} of {data.get('tenant_id')} {event['topic']} is not of this tenant, or of nobody")
        matching = [s for s in line.live | line.recovering if covers(s, sent.topic)]
        if not matching:
            self.fail(line, f"event {n} {event.get('id')} of {sent.topic}, which is not subscribed now")
        if sent.level is None:
            self._take_unnumbered(line, event, sent)
            return
        begun = [s for s in matching if s in self.begins]
        number = number_of(event["id"])
        where = f"event {n} {event['id']} of {sent.topic}"
        if not any(self.begins[s] < number for s in begun):
            self.fail(line, f"{where}, which is before {[(s, self.begins.get(s)) for s in matching]}")
        if number in self.got:
            self.fail(line, f"duplicate: {where} came before over {self.got[number]}")
        if number <= self.newest.get(sent.topic, 0):
            self.fail(line, f"order: {where} comes behind {self.newest[sent.topic]} of the same topic")
        # while subscriptions recover there is an order in each topic only
        if not line.recovering and number <= line.number:
            self.fail(line, f"order: {where} comes behind {line.number}, which {line.told_by} told")
        if sent.level > self.level:
            self.fail(line, f"{where} is of level {sent.level}, and this is {self.level}")
        if ("inner" in data["payload"]) != self.sees_inner:
            self.fail(line, f"{where}: inner is there, or is not: {self.sees_inner}")
        self.ledger.place(sent, event["id"], str(self))
        self.got[number] = str(line)
        self.newest[sent.topic] = number
        if not self.last_event or number > number_of(self.last_event):
            self.last_event = event["id"]
        if not line.recovering:
            line.number, line.told_by = number, "an event"
        self.advance(line, [s for s in (begun if line.recovering else line.live) if s in self.at], event["id"])

    def _take_unnumbered(self, line, event, sent):
        if "id" in event:
            self.fail(line, f"event {sent.n} of {sent.topic} has an id, {event['id']}, and its topic keeps no history")
        if sent.n in self.unnumbered and not sent.unsure:
            self.fail(line, f"duplicate: event {sent.n} of {sent.topic}, which has no id")
        self.unnumbered.add(sent.n)

    # ---- the end

    def owed(self):
        """The numbers of all that it has to get, when all is published."""
        begins = [(s, number) for s, number in self.begins.items()]
        return {number for number, sent in self.ledger.numbered.get(self.tenant, {}).items()
                if sent.level <= self.level and any(number > begin and covers(s, sent.topic) for s, begin in begins)}

    def lost(self, owed):
        """Those of what is owed that cannot come any more: all subscriptions to them are said to be behind them."""
        return sorted(n for n in owed - self.got.keys() if all(number_of(self.at[s]) >= n for s in self._subscriptions_to(n)))

    def _subscriptions_to(self, number):
        topic = self.ledger.numbered[self.tenant][number].topic
        return [s for s in self.begins if covers(s, topic) and self.begins[s] < number]

    def describe(self, numbers):
        """Some of these events, for a message, and over what their place was passed."""
        return "; ".join(self._describe(number) for number in sorted(numbers)[:MANY])

    def _describe(self, number):
        sent = self.ledger.numbered[self.tenant][number]
        passed = {s: next((step for step in self.steps[s] if step[0] >= number), self.at[s]) for s in self._subscriptions_to(number)}
        return f"{number} (event {sent.n}) of {sent.topic}, passed {passed}"
