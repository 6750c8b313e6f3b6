"""Two kinds of tokens: sessions, which only this back end reads, and what a page, or the back end, shows to the broker."""
import os
import time

import jwt

SESSION_SECRET = os.environ["GIFT_SESSION_SECRET"]
BROKER_SECRET = os.environ["HOOKWIRE_JWT_SECRET"]  # the broker has it too
SESSION_TTL_S = 12 * 3600
TOKEN_TTL_S = int(os.environ.get("GIFT_TOKEN_TTL", 300))  # short: a person who left the family is out after this
TENANT = "shopping"


def _sign(claims, ttl_s, secret):
    return jwt.encode({**claims, "exp": int(time.time()) + ttl_s}, secret, algorithm="HS256")


def session(user_id):
    return _sign({"sub": user_id}, SESSION_TTL_S, SESSION_SECRET)


def user_of(session):
    """Whose session it is; None if it is none, or over."""
    try:
        return jwt.decode(session, SESSION_SECRET, algorithms=["HS256"], options={"require": ["sub", "exp"]})["sub"]
    except jwt.InvalidTokenError:
        return None


def realtime_token(person):
    """For a page: what the broker's policy asks about somebody."""
    return _sign({"sub": person["id"], "tenant_id": TENANT, "families": [person["family_id"]], "role": person["role"], "name": person["name"]},
                 TOKEN_TTL_S, BROKER_SECRET)


def service_token():
    """For this back end, which publishes."""
    return _sign({"sub": "gift-list", "tenant_id": TENANT, "role": "service"}, TOKEN_TTL_S, BROKER_SECRET)
