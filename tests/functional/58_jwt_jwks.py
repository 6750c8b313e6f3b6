#!/usr/bin/python3
# Key sets of two issuers in files: a token is verified by its issuer's key of its kid, and after SIGHUP by the keys that the file then has.
import base64
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ISSUERS = ("https://a.example", "https://b.example")
CONFIG = {"hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": [
    {"iss": iss, "jwks": f"@file:{i}.jwks"} for i, iss in enumerate(ISSUERS)]}}]}


class Signer:
    """A P-256 key pair."""

    def __init__(self, directory, name, kid):
        self.kid, self.pem = kid, directory / f"{name}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.pem], check=True,
                       stderr=subprocess.DEVNULL)
        der = subprocess.run(["openssl", "pkey", "-in", self.pem, "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        self.point = der[-64:]  # the key is the end of it: x and y

    def jwk(self):
        x, y = (base64.urlsafe_b64encode(half).rstrip(b"=").decode() for half in (self.point[:32], self.point[32:]))
        return {"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y}

    def token(self, iss):
        made = cli("token", "--user", "u1", "--tenant", "acme", "--alg", "ES256", "--key-file", self.pem, "--kid", self.kid, "--claim", f"iss={iss}")
        equal(made.returncode, 0, made.stderr)
        return made.stdout.strip()


class SetsBroker(Broker):
    """A broker with a file of keys for each issuer."""

    def __init__(self, sets):
        self.sets = sets
        super().__init__(CONFIG)

    def write_config(self, config=None):
        for i, keys in enumerate(self.sets):
            draft = self.dir / "draft"
            draft.write_text(json.dumps({"keys": [key.jwk() for key in keys]}, indent=2))
            draft.rename(self.dir / f"{i}.jwks")
        return super().write_config(config)


def admitted(broker, token):
    return http(broker.address, "GET", "/cursor", headers={"Authorization": f"Bearer {token}"}).status == 200


def test_issuers_have_their_keys_and_a_reload_rotates_them():
    with temporary_directory() as tmp:
        a, b, later = Signer(tmp, "a", "1"), Signer(tmp, "b", "1"), Signer(tmp, "later", "2")
        with SetsBroker([[a], [b]]) as broker:
            for signer, iss, expected in ((a, ISSUERS[0], True), (b, ISSUERS[1], True), (a, ISSUERS[1], False), (b, ISSUERS[0], False),
                                          (a, "https://c.example", False), (later, ISSUERS[0], False)):
                equal(admitted(broker, signer.token(iss)), expected, f"{signer.pem.name} for {iss}")
            broker.sets = [[later, a], [b]]
            broker.write_config(broker.config)
            broker.sighup()
            token = later.token(ISSUERS[0])
            wait_until(lambda: admitted(broker, token), 10, "the new key", interval=0.03)
            equal(admitted(broker, a.token(ISSUERS[0])), True, "the old key, still there")
            broker.sets = [[later], [b]]
            broker.write_config(broker.config)
            broker.sighup()
            token = a.token(ISSUERS[0])
            wait_until(lambda: not admitted(broker, token), 10, "the old key to go", interval=0.03)
            equal(admitted(broker, later.token(ISSUERS[0])), True, "the new key")


main()
