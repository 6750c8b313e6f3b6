"""What people may do with gifts. Each function is called in a transaction and leaves its event in the outbox."""
import datetime
import uuid

import outbox


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def person(db, user_id):
    return db.execute("SELECT * FROM people WHERE id = ?", (user_id,)).fetchone()


def people(db):
    return [dict(row) for row in db.execute(
        "SELECT people.id, people.name, role, family_id, families.name AS family FROM people JOIN families ON families.id = family_id ORDER BY family_id, people.rowid")]


def lists_of(db, who, family_id):
    if who["family_id"] != family_id:
        raise Refused(404, "not_found", "there is no such family, or it is not yours")
    family = db.execute("SELECT id, name FROM families WHERE id = ?", (family_id,)).fetchone()
    lists = [dict(row) | {"gifts": []} for row in db.execute("SELECT id, title, owner_id FROM lists WHERE family_id = ? ORDER BY rowid", (family_id,))]
    by_id = {one["id"]: one for one in lists}
    for gift in db.execute(f"{_GIFTS} WHERE family_id = ? ORDER BY gifts.rowid", (family_id,)):
        by_id[gift["list_id"]]["gifts"].append(seen_by(who, gift))
    return {"family": dict(family), "lists": lists}


def add(db, who, list_id, name, note, price, mutation_id):
    of = db.execute("SELECT * FROM lists WHERE id = ? AND family_id = ?", (list_id, who["family_id"])).fetchone()
    if of is None:
        raise Refused(404, "not_found", "there is no such list")
    if who["role"] == "guest":
        raise Refused(403, "forbidden", "guests look and reserve")
    gift_id = f"gift-{uuid.uuid4()}"
    db.execute("INSERT INTO gifts (id, list_id, name, note, price, added_by, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
               (gift_id, list_id, name, note, price, who["id"], _now()))
    gift = _gift(db, who, gift_id)
    _tell(db, "ADDED", who, gift, _plain(gift), mutation_id)
    return seen_by(who, gift)


def edit(db, who, gift_id, change, mutation_id):
    """change: what is to be other: name, note, price, status; and maybe the version that was seen."""
    gift = _gift(db, who, gift_id)
    content = {field: change[field] for field in ("name", "note", "price") if field in change}
    if content:
        _check_may_edit(who, gift, "change")
    if change.get("version", gift["version"]) != gift["version"]:
        raise Refused(409, "conflict", "somebody else has changed it meanwhile")
    if "status" in change:
        _set_status(db, who, gift, change["status"])
    if content:
        db.execute("UPDATE gifts SET name = ?, note = ?, price = ?, version = version + 1, updated_at = ? WHERE id = ?",
                   (*(content.get(field, gift[field]) for field in ("name", "note", "price")), _now(), gift_id))
    gift = _gift(db, who, gift_id)
    _tell(db, "UPDATED" if content else "STATUS_CHANGED", who, gift, _plain(gift), mutation_id)
    return seen_by(who, gift)


def delete(db, who, gift_id, mutation_id):
    gift = _gift(db, who, gift_id)
    _check_may_edit(who, gift, "delete")
    db.execute("DELETE FROM gifts WHERE id = ?", (gift_id,))
    _tell(db, "DELETED", who, gift, {"id": gift_id, "list_id": gift["list_id"]}, mutation_id)


def seen_by(who, gift):
    """The gift as REST gives it. A surprise is kept here as the broker's policy keeps it in events."""
    gift_seen = _plain(gift)
    if gift["owner_id"] == who["id"]:
        del gift_seen["reserved_by"]
        gift_seen["status"] = "wanted"
    return gift_seen


_GIFTS = "SELECT gifts.*, owner_id, family_id FROM gifts JOIN lists ON lists.id = list_id"


def _gift(db, who, gift_id):
    gift = db.execute(f"{_GIFTS} WHERE gifts.id = ? AND family_id = ?", (gift_id, who["family_id"])).fetchone()
    if gift is None:
        raise Refused(404, "not_found", "there is no such gift")
    return gift


def _plain(gift):
    return {name: gift[name] for name in gift.keys() if name not in ("owner_id", "family_id")}


def _check_may_edit(who, gift, verb):
    if who["role"] == "guest":
        raise Refused(403, "forbidden", "guests look and reserve")
    if who["role"] == "child" and gift["added_by"] != who["id"]:
        raise Refused(403, "forbidden", f"children {verb} what they have added themselves")


def _set_status(db, who, gift, status):
    if gift["owner_id"] == who["id"]:
        raise Refused(403, "forbidden", "it is for you: let yourself be surprised")
    holder = gift["reserved_by"]
    if holder not in (None, who["id"]):
        if status == "reserved":
            raise Refused(409, "conflict", "somebody else was faster")
        if who["role"] != "parent":
            raise Refused(403, "forbidden", "somebody else has reserved it")
    db.execute("UPDATE gifts SET status = ?, reserved_by = ? WHERE id = ?", (status, None if status == "wanted" else holder or who["id"], gift["id"]))


def _tell(db, event, who, gift, payload, mutation_id):
    data = {"entity_id": gift["id"], "payload": payload, "user_id": who["id"], "timestamp": _now(), "owner_id": gift["owner_id"]}
    if mutation_id is not None:
        data["mutation_id"] = mutation_id
    outbox.add(db, {"topic": f"gift-list:{gift['family_id']}", "event": event, "data": data})


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
