"""Development tokens, made here with hmac alone, so that the broker's own minting is not its judge."""
import base64
import hashlib
import hmac
import json
import time

SECRET = "functional-test-secret-of-32-bytes-or-more"
_DIGEST = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def encode_jwt(claims, secret=SECRET, alg="HS256", header=None):
    """A token of exactly these claims (a dict, or bytes for a malformed body) and this header."""
    head = {"alg": alg, "typ": "JWT"} if header is None else header
    body = claims if isinstance(claims, bytes) else json.dumps(claims, separators=(",", ":")).encode()
    text = _b64(json.dumps(head, separators=(",", ":")).encode()) + b"." + _b64(body)
    if alg == "none":
        return (text + b".").decode()
    key = secret.encode() if isinstance(secret, str) else secret
    return (text + b"." + _b64(hmac.new(key, text, _DIGEST[alg]).digest())).decode()


def mint(user, tenant="acme", ttl=3600, secret=SECRET, alg="HS256", **claims):
    """A valid token: sub, tenant_id, iat, exp (now + ttl seconds) and any further claims. A claim given as None is left out."""
    now = int(time.time())
    all_claims = {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + ttl, **claims}
    return encode_jwt({k: v for k, v in all_claims.items() if v is not None}, secret, alg)
