"""The back end of the gift lists, in FastAPI: `uvicorn main:app`. `start`, a folder up, says what the environment has to hold."""
import contextlib
import os
from typing import Annotated, Literal

import hookwire
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

import auth
import database
import gifts
import outbox
from gifts import Refused

BROKER = os.environ["GIFT_BROKER"]
publisher = outbox.Publisher(hookwire.Client(BROKER, token=auth.service_token, timeout=outbox.TIMEOUT_S))


@contextlib.asynccontextmanager
async def lifespan(_):
    database.create()
    publisher.start()  # with what the last run may have left
    yield
    publisher.stop()


app = FastAPI(title="Gift lists", lifespan=lifespan)


@app.middleware("http")
async def no_store(request: Request, call_next):
    response = await call_next(request)
    response.headers["Cache-Control"] = "no-store"  # answers are somebody's, and of this moment
    return response


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Note = Annotated[str, StringConstraints(max_length=2000)]
Cents = Annotated[int, Field(ge=0, le=100_000_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Login(Body):
    user_id: Id


class NewGift(Body):
    name: Name
    note: Note = ""
    price: Cents | None = None
    mutation_id: Id = None


class Change(Body):
    """What is left out stays as it is. Only a price may be null."""
    name: Name = None
    note: Note = None
    price: Cents | None = None
    status: Literal["wanted", "reserved", "bought"] = None
    version: Annotated[int, Field(ge=1)] = None
    mutation_id: Id = None


def signed_in(authorization: Annotated[str, Header()] = ""):
    """The person whose session it is."""
    scheme, _, session = authorization.partition(" ")
    user_id = auth.user_of(session) if scheme.lower() == "bearer" else None
    with database.reading() as db:
        person = user_id and gifts.person(db, user_id)
    if not person:
        raise Refused(401, "unauthorized", "sign in first")
    return person


Person = Annotated[dict, Depends(signed_in)]


@app.get("/api/people")
def people():
    with database.reading() as db:
        return gifts.people(db)


@app.post("/api/login")
def login(body: Login):
    with database.reading() as db:
        person = gifts.person(db, body.user_id)
    if person is None:
        raise Refused(401, "unauthorized", "nobody has this name")
    return {"session": auth.session(person["id"]), "user": dict(person)}


@app.get("/api/realtime-token")
def realtime_token(who: Person):
    return {"token": auth.realtime_token(who), "expires_in": auth.TOKEN_TTL_S}


@app.get("/api/config")
def config(_: Person):
    return {"broker_url": os.environ.get("GIFT_BROKER_URL", BROKER)}


@app.get("/api/families/{family_id}/gifts")
def lists(who: Person, family_id: str):
    with database.reading() as db:
        return gifts.lists_of(db, who, family_id)


@app.post("/api/lists/{list_id}/gifts", status_code=201)
def add(who: Person, list_id: str, body: NewGift):
    with database.writing() as db:
        gift = gifts.add(db, who, list_id, body.name, body.note, body.price, body.mutation_id)
    publisher.wake()
    return gift


@app.patch("/api/gifts/{gift_id}")
def edit(who: Person, gift_id: str, body: Change):
    change = body.model_dump(exclude_unset=True, exclude={"mutation_id"})
    if not change.keys() - {"version"}:
        raise Refused(422, "invalid", "nothing is to be changed")
    with database.writing() as db:
        gift = gifts.edit(db, who, gift_id, change, body.mutation_id)
    publisher.wake()
    return gift


@app.delete("/api/gifts/{gift_id}", status_code=204)
def delete(who: Person, gift_id: str, mutation_id: Id | None = None):
    with database.writing() as db:
        gifts.delete(db, who, gift_id, mutation_id)
    publisher.wake()


def _error(status, code, message):
    return JSONResponse({"error": {"code": code, "message": message}}, status)


@app.exception_handler(Refused)
def refused(_: Request, error: Refused):
    return _error(error.status, error.code, error.message)


@app.exception_handler(RequestValidationError)
def invalid(_: Request, error: RequestValidationError):
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _error(400, "bad_request", "this is no JSON")
    return _error(422, "invalid", f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


@app.exception_handler(HTTPException)
def other(_: Request, error: HTTPException):
    return _error(error.status_code, "not_found" if error.status_code == 404 else "bad_request", str(error.detail))


@app.exception_handler(Exception)
def unexpected(_: Request, error: Exception):
    return _error(500, "internal", "something went wrong here")  # uvicorn logs it
