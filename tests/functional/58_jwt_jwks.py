#!/usr/bin/python3
# Key sets of issuers, in files and at addresses: a token is verified by its issuer's key of its kid; new keys are found, and an issuer that is
# down or slow holds up nobody but who needs its keys.
import base64
import contextlib
import http.server as http_server
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
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


class Issuer(http_server.ThreadingHTTPServer):
    """Serves the keys of `signers`, or `answer` (a status, a body, and maybe where else to look) when there is one. While it is not `going`,
    it answers nobody."""
    daemon_threads = True

    def __init__(self, signers, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}/jwks.json"
        self.signers, self.answer, self.n_requests, self.lock = signers, None, 0, threading.Lock()
        self.going = threading.Event()
        self.going.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that leaves

    def __exit__(self, *_):
        self.going.set()
        self.shutdown()
        self.server_close()


class Handler(http_server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        with self.server.lock:
            self.server.n_requests += 1
        self.server.going.wait()
        status, body, *elsewhere = self.server.answer or (200, document(self.server.signers))
        self.send_response(status)
        for url in elsewhere:
            self.send_header("Location", url)
        self.end_headers()
        self.wfile.write(body.encode())


def document(signers):
    return json.dumps({"keys": [key.jwk() for key in signers]}, indent=2)


def fetching(issuer, **settings):
    """A configuration with the issuer's keys by its address, and those of tests beside them."""
    keys = [{"alg": "HS256", "secret": SECRET, "iss": "tests"}, {"iss": ISSUERS[0], "jwks_url": issuer.url}]
    return {"hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": keys, "jwks_refetch_s": 1, **settings}}], "workers": 2}


class SetsBroker(Broker):
    """A broker with a file of keys for each issuer."""

    def __init__(self, sets):
        self.sets = sets
        super().__init__(CONFIG)

    def write_config(self, config=None):
        for i, keys in enumerate(self.sets):
            draft = self.dir / "draft"
            draft.write_text(document(keys))
            draft.rename(self.dir / f"{i}.jwks")
        return super().write_config(config)


def status(broker, token):
    return http(broker.address, "GET", "/cursor", headers={"Authorization": f"Bearer {token}"}).status


def admitted(broker, token):
    return status(broker, token) == 200


@contextlib.contextmanager
def world(*kids):
    """An issuer of the first signer, and all signers."""
    with temporary_directory() as tmp:
        signers = [Signer(tmp, f"{i}", kid) for i, kid in enumerate(kids)]
        with Issuer(signers[:1]) as issuer:
            yield issuer, signers


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


def test_keys_are_fetched_from_an_address_and_new_ones_found():
    with world("1", "2") as (issuer, (first, second)), Broker(fetching(issuer)) as broker:
        old, new = first.token(ISSUERS[0]), second.token(ISSUERS[0])
        equal([status(broker, old), status(broker, first.token("https://other.example")), status(broker, mint("u1", iss="tests"))],
              [200, 401, 200], "answers")
        with WsClient(broker.address, token=old, protocols=["hookwire.v1"]) as client:
            client.recv_where({"type": "welcome"})
        equal(issuer.n_requests, 1, "fetches")
        issuer.signers = [first, second]
        wait_until(lambda: admitted(broker, new), 10, "the new key", interval=0.05)
        equal(admitted(broker, old), True, "the old key, still there")
        issuer.signers = [second]
        forged = Signer(broker.dir, "forged", "3").token(ISSUERS[0])
        wait_until(lambda: status(broker, forged) == 401 and not admitted(broker, old), 10, "the old key to go, also for a token that is known",
                   interval=0.05)
        equal(admitted(broker, new), True, "the new key")


def test_kids_that_are_made_up_cost_a_fetch_a_time():
    with world("1") as (issuer, (first,)), Broker(fetching(issuer, jwks_refetch_s=3600)) as broker:
        equal(admitted(broker, first.token(ISSUERS[0])), True, "the first")
        for i in range(20):
            first.kid = f"made-up-{i}"
            equal(status(broker, first.token(ISSUERS[0])), 401, first.kid)
        equal(issuer.n_requests, 1, "fetches")


def test_an_issuer_that_is_down_is_unavailable_and_comes_back():
    with world("1") as (issuer, (first,)):
        issuer.answer = (500, "down")
        with Broker(fetching(issuer)) as broker:
            token = first.token(ISSUERS[0])
            equal(status(broker, token), 503, "while it is down")
            broker.wait_log(r"the keys of https://a\.example cannot be fetched: it was answered 500")
            equal(status(broker, mint("u1", iss="tests")), 200, "another issuer's")
            for _ in range(20):
                equal(status(broker, token), 503, "while it is down")
            check(issuer.n_requests <= 4, f"{issuer.n_requests} fetches: it does not back off")
            issuer.answer = None
            wait_until(lambda: admitted(broker, token), 15, "the keys", interval=0.05)


def test_what_is_no_key_set_changes_nothing():
    with world("1", "2") as (issuer, (first, second)), Broker(fetching(issuer)) as broker:
        token, unknown = first.token(ISSUERS[0]), second.token(ISSUERS[0])
        equal(admitted(broker, token), True, "at first")
        # the last would add a key of its own if it were pasted into the settings
        for body, said in (("<html>", "not JSON"), ('{"keys":[]}', "is empty"), ("x" * 300000, "more than 262144 bytes"),
                           ('{"keys":[]}},{"alg":"HS256","secret":"' + "s" * 32 + '"', "not JSON")):
            issuer.answer, mark = (200, body), broker.log_mark()
            def refused(said=said, mark=mark):
                status(broker, unknown)
                return said in broker.log()[mark:]
            wait_until(refused, 30, said, interval=0.05)
            equal(admitted(broker, token), True, "with the keys from before")
        equal(status(broker, encode_jwt({"sub": "u1", "tenant_id": "acme", "iss": "x"}, "s" * 32)), 401, "a key that was smuggled in")


def test_while_it_stalls_others_go_on_and_who_waits_is_told_in_time():
    with world("1", "2") as (issuer, (first, _)):
        issuer.going.clear()
        with Broker(fetching(issuer)) as broker:
            token, answers = first.token(ISSUERS[0]), []
            threads = [threading.Thread(target=lambda: answers.append(status(broker, token))) for _ in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: issuer.n_requests == 1, 10, "the fetch")
            for i in range(10):
                begun = time.monotonic()
                equal(status(broker, mint(f"u{i}", iss="tests")), 200, "another issuer's")
                check(time.monotonic() - begun < scaled(1), "it waited")
            for thread in threads:
                thread.join()
            equal(answers, [503] * 4, "after the deadline")
            equal(issuer.n_requests, 1, "fetches")
            threads = [threading.Thread(target=lambda: answers.append(status(broker, token))) for _ in range(4)]
            for thread in threads:
                thread.start()
            issuer.going.set()
            for thread in threads:
                thread.join()
            wait_until(lambda: admitted(broker, token), 15, "the keys", interval=0.05)


def test_keys_come_from_the_address_itself_and_from_who_proves_to_be_it():
    with world("1") as (issuer, (first,)), Issuer([first]) as elsewhere:
        issuer.answer = (302, "", elsewhere.url)
        with Broker(fetching(issuer)) as broker:
            equal(status(broker, first.token(ISSUERS[0])), 503, "sent elsewhere")
            broker.wait_log("cannot be fetched: it was answered 302")
        equal(elsewhere.n_requests, 0, "requests elsewhere")
    with temporary_directory() as tmp:
        key, certificate = tmp / "key.pem", tmp / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=issuer", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        signer = Signer(tmp, "signer", "1")
        with Issuer([signer], context) as issuer:
            with Broker(fetching(issuer)) as broker:
                equal(status(broker, signer.token(ISSUERS[0])), 503, "an issuer that nobody vouches for")
                broker.wait_log("cannot be fetched: .*certificate")
            equal(issuer.n_requests, 0, "requests to it")
            with Broker(fetching(issuer), env={"SSL_CERT_FILE": str(certificate)}) as broker:
                token = signer.token(ISSUERS[0])
                wait_until(lambda: admitted(broker, token), 15, "the keys, with a certificate that SSL_CERT_FILE vouches for", interval=0.05)


def test_settings_that_are_wrong_say_where():
    good = {"iss": ISSUERS[0], "jwks_url": "https://a.example/jwks.json"}
    hs256 = {"alg": "HS256", "secret": SECRET}
    with temporary_directory() as tmp:
        path = tmp / "hookwire.json"
        for keys, said in (([{"jwks_url": "https://a.example"}], 'there must be "iss"'), ([{**good, "jwks_url": "a.example"}], "whole address"),
                           ([{**good, "jwks_url": "file:///etc/passwd"}], "whole address"), ([{**good, "kid": "1"}], "unknown setting"),
                           ([{**good, "alg": "ES256"}], "for RSA keys"), ([good, good], "the same"), ([good, {**hs256, "secrt": "x"}], "secret"),
                           ([good, 7], "must be an object")):
            path.write_text(json.dumps({"hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": keys}}]}, indent=0))
            done = cli("check", "-c", path)
            check(done.returncode != 0, f"accepted: {keys}")
            contains(done.stdout, said, str(keys))
        path.write_text(json.dumps({"hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": [good, hs256]}}]}))
        check("jwt" not in cli("check", "-c", path).stdout, "good settings are refused")


main()
