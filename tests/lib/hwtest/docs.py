"""The examples of the documentation, run against the real binary.

Every fenced block of a page is found and either executed or checked, by its language:

    sh        executed by bash, every command must succeed
    console   "$ " commands are executed in turn, and the lines below each must be what it prints, "> " goes on with a command
    log       each line must be in the log of the page's broker
    ws        a conversation with the page's broker: "> " is sent, "< " must come
    js        run by node with npm's ws as WebSocket and a `token`, until it has printed an event that is then published
    lua       cases, when it is kept as NAME.test.lua: the page runs them. Else a policy: `hookwire check` loads it, at the top level if
              it has `authenticate`, else in a tenant's chain
    json      an event: `hookwire validate`; else a configuration, a part of one (keys: of the jwt plugin's settings), or one hook:
              `hookwire check`. jsonc is the same
    c         compiled against plugin.h with warnings as errors, and opened by `hookwire check --plugin`

Pages in clients/ have `js`, `ts`, `jsx` and `python` of their own: the head of docs_clients.py says what becomes of them.

An HTML comment on the line before the fence changes that:

    <!-- example: not run: REASON -->     for what a test cannot do
    <!-- example: file NAME -->           is also kept as that file for the blocks after it
    <!-- example: kept as NAME -->        is only kept: a block after it names that file
    <!-- example: background -->          goes on while the next blocks run; what it printed is looked at when the page ends

The blocks of a page run in order, in one throw-away directory, and keep their environment and directory from block to block. Where
the page says 127.0.0.1:8080 and :8081, the broker listens on free ports; where it sends an id of the epoch k3f9a, that of the broker is sent. What differs from run to run (ids, times, tokens) is not compared;
"…" in expected output stands for anything, and a line of it alone for any lines.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from . import docs_clients
from .broker import ADMIN_TOKEN, ROOT, _environment, binary, cli
from .check import Failure, check
from .http import http
from .run import temporary_directory
from .token import SECRET, mint
from .wait import scaled, wait_until
from .ws import WsClient

PUBLIC, ADMIN = "127.0.0.1:8080", "127.0.0.1:8081"
_MARK = re.compile(r"<!-- example: (not run: .{10,}|file \S+|kept as \S+|background) -->")
_NEXT = "\x1e"  # printed before each command of a console block
_DEADLINE = 20.0  # seconds, of each thing that is waited for

# what differs from run to run, and what stands for it on both sides
_VARIES = [(re.compile(pattern), name) for pattern, name in (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
    (r"\b[0-9a-f]{32}\b", "TRACE"),
    (r'(?<="session":")[0-9a-f]+', "SESSION"),
    (r"\b[a-z0-9]{5,13}-(?=\d+\b)", "EPOCH-"),
    (r'(?<="expires_at":)\d+', "SECONDS"),
)]
# ids of the pages are of this epoch: in what is sent it is the broker's own
_SHOWN_EPOCH = re.compile(r"\bk3f9a\b")


class Block:
    """A fenced block of a page."""

    def __init__(self, page, line, language, text, mark):
        self.page, self.line, self.language, self.text = page, line, language, text
        self.mark = mark or ""

    @property
    def place(self):
        """Where it is, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def file(self):
        """The name under which it is kept, or None."""
        return self.mark.split()[-1] if self.mark.startswith(("file ", "kept as ")) else None


def blocks_of(page, text):
    """The fenced blocks of a Markdown text, in order. A comment that looks like a mark and is none is an error."""
    blocks, lines, start, mark = [], text.split("\n"), None, None
    for i, line in enumerate(lines):
        if start is not None:
            if line.strip() == "```":
                language, comment = lines[start].strip()[3:].strip(), mark
                indent = len(lines[start]) - len(lines[start].lstrip())
                body = "\n".join(part[indent:] for part in lines[start + 1:i]) + "\n"
                blocks.append(Block(page, start + 1, language, body, comment))
                start = mark = None
        elif line.lstrip().startswith("```"):
            start = i
        elif "<!-- example:" in line:
            found = _MARK.fullmatch(line.strip())
            check(found, f"{page}:{i + 1}: not a mark: {line.strip()} (a reason has ten characters at least)")
            mark = found[1]
            check(lines[i + 1].lstrip().startswith("```"), f"{page}:{i + 1}: no block follows the mark")
    check(start is None, f"{page}: the block of line {start and start + 1} does not end")
    return blocks


def _normal(text):
    for pattern, name in _VARIES:
        text = pattern.sub(name, text)
    return text


def matches(expected, actual):
    """Is this the output that the page shows?"""
    pattern = ""
    for line in _normal(expected.strip("\n")).split("\n"):
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(map(re.escape, line.split("…"))) + "\n"
    return re.fullmatch(pattern, _normal(actual.strip("\n")) + "\n") is not None


def _hear_hangups():
    """As in a reader's shell, also where the suite runs under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _commands(block):
    """[(command, expected output)] of a console block."""
    result = []
    for line in block.text.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            result.append([line[2:], ""])
        elif line.startswith("> ") and result and not result[-1][1]:
            result[-1][0] += "\n" + line[2:]
        else:
            check(result, f"{block.place}: a console block begins with a command, \"$ …\"")
            result[-1][1] += line + "\n"
    return result


class Page:
    """A page whose blocks are being run. Use it as a context manager."""

    def __init__(self, name, text, log_timeout):
        self.log_timeout = log_timeout
        self.name, self.blocks = name, blocks_of(name, text)
        self.broker = self.addresses = None
        self.background, self.scripts = [], 0
        self.of_client = []  # blocks of a client's page, which are run when it ends

    # ---- the directory and what commands find in it

    def __enter__(self):
        self._directory = temporary_directory()
        root = self._directory.__enter__()
        self.dir, self.bin = root / "page", root / "bin"
        self.dir.mkdir()
        self.bin.mkdir()
        for parent in (root, self.dir):  # beside the page's files and above them: configurations name ../scripts
            for name in ("plugins", "scripts"):
                (parent / name).symlink_to(ROOT / name)
        for source in (ROOT / "conf").rglob("*"):
            if source.is_file():
                self._keep(str(source.relative_to(ROOT)), source.read_text())
        if self.name.startswith("plugins/"):  # such a page is read in a copy of its folder
            shutil.copytree((ROOT / self.name).parent, self.dir, dirs_exist_ok=True)
        if self.name == "plugins/jwt/README.md":
            self._make_keys()
        prefix = root / "prefix"
        subprocess.run(["cmake", "--install", pathlib.Path(binary()).resolve().parent, "--component", "plugin-kit", "--prefix", prefix],
                       check=True, stdout=subprocess.DEVNULL)
        self._tool("hookwire", f'''
            url=$(cat "{root}/address" 2>/dev/null)
            case "$1" in
            pub) shift; exec "{binary()}" pub ${{url:+--url "http://$url"}} "$@" ;;
            sub) shift; exec "{binary()}" sub ${{url:+--url "ws://$url/ws"}} "$@" ;;
            esac
            exec "{binary()}" "$@"''')
        # as they are, but for what is not this page's: a signal reaches all of the page's processes that the reader's would reach
        self._tool("pidof", f'''
            PATH=${{PATH#*:}}
            pidof "$@" | tr " " "\\n" | grep -Fx -f "{root}/pids"''')
        self._tool("pkill", f'''
            PATH=${{PATH#*:}} signal=$1
            shift
            kill "$signal" $(pgrep "$@" | grep -Fx -f "{root}/pids")''')
        self._tool("npx", f'''
            command=$1
            shift
            exec node "{ROOT}/clients/node/bin/$command.js" "$@"''')
        self.root = root
        self.env = {"PATH": f"{self.bin}:/usr/sbin:{os.environ['PATH']}", "HOME": str(root), "PREFIX": str(prefix), "LC_ALL": "C.UTF-8",
                    "CMAKE_PREFIX_PATH": str(prefix), "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
                    "HOOKWIRE_JWT_SECRET": SECRET, "HOOKWIRE_ADMIN_TOKEN": ADMIN_TOKEN}
        self.env.update({k: v for k, v in _environment().items() if k.endswith("SAN_OPTIONS")})
        (root / "state").write_text(f"cd '{self.dir}'\n")
        return self

    def _tool(self, name, script):
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + re.sub(r"(?m)^ {12}", "", script.strip("\n")) + "\n")
        path.chmod(0o755)

    def _make_keys(self):
        """Keys of an identity provider, as a reader has them."""
        keys = self.dir / "keys"
        keys.mkdir()
        private, public = keys / "private.pem", keys / "idp.pem"
        for command in (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                        ["pkey", "-in", private, "-pubout", "-out", public]):
            subprocess.run(["openssl", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        modulus = subprocess.run(["openssl", "rsa", "-pubin", "-in", public, "-modulus", "-noout"], check=True, stdout=subprocess.PIPE, text=True).stdout
        n = base64.urlsafe_b64encode(bytes.fromhex(modulus.strip().partition("=")[2])).rstrip(b"=").decode()
        for name in ("idp", "partner"):
            (keys / f"{name}.jwks").write_text(json.dumps({"keys": [{"kty": "RSA", "kid": name, "n": n, "e": "AQAB"}]}))

    def __exit__(self, *_):
        for _block, process, _path in self.background:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._directory.__exit__(None, None, None)

    # ---- addresses: the page's, and the real ones

    def _to_real(self, text):
        for said, real in (self.addresses or {}).items():
            text = text.replace(said, real)
        return text

    def _to_said(self, text):
        for said, real in (self.addresses or {}).items():
            text = text.replace(real, said)
        return text.replace(str(self.dir), "/work").replace(binary(), "hookwire")

    def _keep(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._on_free_ports(text))

    @staticmethod
    def _on_free_ports(text):
        return text.replace(PUBLIC, "127.0.0.1:0").replace(ADMIN, "127.0.0.1:0")

    # ---- running

    def run(self):
        """Runs every block; the first that is not as the page says it raises Failure with its place."""
        for block in self.blocks:
            if block.mark.startswith("not run: "):
                continue
            run = self._run_of_client if self.name.startswith("clients/") and block.language in docs_clients.LANGUAGES \
                else getattr(self, "_run_" + block.language, None) if block.language else None
            check(run, f"{block.place}: nobody runs a block of {block.language or 'no language'!r}: say "
                       "<!-- example: not run: REASON --> before it, or write it in a language that hwtest/docs.py knows")
            try:
                if block.file:
                    self._keep(block.file, block.text)
                if not block.mark.startswith("kept as "):
                    run(block)
            except Failure as failure:
                raise Failure(f"{block.place}: {failure}") from None
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                raise Failure(f"{block.place}: {error}") from error
        self._end()
        try:
            docs_clients.run(self.of_client)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"{self.name}: {error}") from error

    def _bash(self, script):
        """The command line of a script that begins where the one before it ended. Background ones leave nothing behind."""
        self.scripts += 1
        path = self.root / f"block-{self.scripts}.sh"  # bash reads on in it while it runs
        path.write_text(f". '{self.root}/state'\n{self._to_real(script)}")
        return ["bash", str(path)]

    def _foreground(self, script, strict):
        keep = f"trap 'rc=$?; {{ declare -px; printf \"cd %q\\n\" \"$PWD\"; }} >\"{self.root}/state\"; exit $rc' EXIT\n"
        process = subprocess.Popen(self._bash(keep + ("set -eu\n" if strict else "") + script), env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", start_new_session=True)
        try:
            printed, _ = process.communicate(timeout=scaled(_DEADLINE))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # what it started too; nobody has waited for it, so the number is still its own
            process.wait()
            raise
        return process.returncode, self._to_said(printed)

    def _start(self, block, script):
        path = self.root / f"background-{len(self.background)}"
        serves = re.search(r"\bhookwire serve\b", script)
        subscriptions = self._subscriptions() if re.search(r"\bhookwire sub\b", script) else None
        with open(path, "wb") as out:
            # the shell gives its place to its last command, so that a signal reaches that
            process = subprocess.Popen(self._bash(re.sub(r"(?m)^(?=hookwire .*\Z)", "exec ", script.rstrip("\n"))),
                                       env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       start_new_session=True, preexec_fn=_hear_hangups)
        self.background.append((block, process, path))
        (self.root / "pids").write_text("".join(f"{started.pid}\n" for _block, started, _path in self.background if started.poll() is None))
        if serves:
            check(not self.broker, "a page has one broker")
            self.broker = (process, path)
            wait_until(lambda: process.poll() is not None or "hookwire: ready" in path.read_text(), _DEADLINE, "the broker to be ready")
            check(process.poll() is None, f"the broker does not start:\n{path.read_text()}")
            found = re.findall(r"^hookwire: (listening|admin) on (127\.0\.0\.1:\d+)$", path.read_text(), re.M)
            self.addresses = {PUBLIC if what == "listening" else ADMIN: real for what, real in reversed(found)}
            check(PUBLIC not in self.addresses.values(), f"write \"listen\": [\"{PUBLIC}\"] into the page's configuration")
            (self.root / "address").write_text(self.addresses[PUBLIC])
        elif subscriptions is not None:
            wait_until(lambda: process.poll() is not None or self._subscriptions() > subscriptions, _DEADLINE, "the subscription")

    def _subscriptions(self):
        check(self.addresses and ADMIN in self.addresses, "no broker with an admin listener runs yet")
        text = http(self.addresses[ADMIN], "GET", "/metrics").body.decode()
        return int(re.search(r"^hookwire_subscriptions (\d+)", text, re.M)[1])

    def _end(self):
        """What ran in the background ends, the broker last, and has printed what the page says."""
        for block, process, path in sorted(self.background, key=lambda item: self.broker is not None and item[1] is self.broker[0]):
            if process.poll() is None and self.broker and process is self.broker[0]:
                process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(scaled(_DEADLINE))
            except subprocess.TimeoutExpired:
                raise Failure(f"{block.place}: still running when the page ends: {path.read_text()}") from None
            printed = self._to_said(path.read_text())
            check(code == 0, f"{block.place}: ended with {code}:\n{printed}")
            expected = _commands(block)[-1][1] if block.language == "console" else ""
            if self.broker and process is self.broker[0]:
                printed = printed[:printed.index("hookwire: ready")] + "hookwire: ready\n"
            check(not expected or matches(expected, printed), f"{block.place}: printed\n{printed}\nand the page says\n{expected}")

    # ---- languages

    def _run_of_client(self, block):
        self.of_client.append(block)

    def _run_sh(self, block):
        if block.mark == "background":
            self._start(block, block.text)
            return
        code, printed = self._foreground(block.text, strict=True)
        check(code == 0, f"exit code {code}:\n{printed}")

    def _token(self):
        secret = self._foreground("printf %s \"$HOOKWIRE_JWT_SECRET\"", strict=True)[1]
        return mint("alice", secret=secret, family="family-123")

    def _epoch(self):
        """Of the page's broker."""
        check(self.broker, "the page has started no broker")
        return http(self.addresses[PUBLIC], "GET", "/cursor", token=self._token()).json()["cursor"].partition("-")[0]

    def _run_console(self, block):
        commands = _commands(block)
        if block.mark == "background":
            check(len(commands) == 1, "one command in the background at a time")
            self._start(block, commands[0][0])
            return
        script = "status=0\n" + "".join(f"printf '{_NEXT}\\n'; (exit $status)\n{command}\nstatus=$?\n" for command, _ in commands)
        if _SHOWN_EPOCH.search(script):
            script = _SHOWN_EPOCH.sub(self._epoch(), script)
        _, printed = self._foreground(script, strict=False)
        for (command, expected), actual in zip(commands, printed.split(_NEXT + "\n")[1:], strict=True):
            check(matches(expected, actual), f"$ {command}\nprints\n{actual}\nand the page says\n{expected}")

    def _run_log(self, block):
        check(self.broker, "the page has started no broker")
        for line in block.text.strip("\n").split("\n"):
            def logged(line=line):
                return any(matches(line, actual) for actual in self._to_said(self.broker[1].read_text()).split("\n"))
            try:
                wait_until(logged, self.log_timeout, "the line in the log")
            except AssertionError:
                raise Failure(f"not in the log: {line}\nwhich is\n{self._to_said(self.broker[1].read_text())}") from None

    def _run_ws(self, block):
        check(self.broker, "the page has started no broker")
        with WsClient(self.addresses[PUBLIC], token=self._token(), protocols=["hookwire.v1"]) as client:
            epoch = None
            for line in block.text.strip("\n").split("\n"):
                if line.startswith("> "):
                    client.send_text(_SHOWN_EPOCH.sub(epoch or "", line[2:]).encode())
                else:
                    check(line.startswith("< "), f"neither sent nor received: {line}")
                    got = json.dumps(client.recv_json(_DEADLINE), separators=(",", ":"), ensure_ascii=False)
                    check(matches(line[2:], got), f"got\n{got}\nand the page says\n{line[2:]}")
                    epoch = epoch or json.loads(got).get("cursor", "").partition("-")[0]

    def _run_js(self, block):
        from .broker import Broker
        with Broker({"tenants": {"*": {"hooks": [{"name": "family", "lua": str(ROOT / "scripts/policies/family.lua"),
                                                  "config": {"open_resources": ["gift-list"]}}]}}}) as broker:
            script = self.root / "block.js"
            script.write_text(f"globalThis.WebSocket = require('{ROOT}/tests/functional/node_modules/ws');\n"
                              f"const token = '{mint('alice')}';\n" + block.text.replace(PUBLIC, broker.address))
            out = self.root / "block.js.out"
            with open(out, "wb") as log:
                process = subprocess.Popen(["node", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            try:
                wait_until(lambda: process.poll() is not None or broker.metric("hookwire_subscriptions") > 0, _DEADLINE, "its subscription")
                check(process.poll() is None, f"it ended:\n{out.read_text()}")
                broker.publish("gift-list:family-123", data={"entity_id": "gift-456", "payload": {"name": "Bike"}})
                wait_until(lambda: "gift-456" in out.read_text(), _DEADLINE, "the event in what it prints")
            finally:
                process.kill()
                process.wait()

    def _check_config(self, text):
        path = self.dir / "example-to-check.json"
        path.write_text(self._on_free_ports(text))
        done = subprocess.run([binary(), "check", "-c", path.name], cwd=self.dir, env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, encoding="utf-8", timeout=scaled(_DEADLINE))
        path.unlink()
        check(done.returncode == 0, f"hookwire check:\n{done.stdout}")

    def _run_lua(self, block):
        if block.file and block.file.endswith(".test.lua"):
            return  # cases: the page says what comes of them
        (self.dir / "example-to-check.lua").write_text(block.text)
        entry = {"name": "example", "lua": "example-to-check.lua"}
        is_global = re.search(r"^\s*authenticate\s*=", block.text, re.M)
        self._check_config(json.dumps({"hooks": [entry]} if is_global else {"tenants": {"*": {"hooks": [entry]}}}))

    def _run_json(self, block):
        text = block.text.strip()
        try:
            event = json.loads(text)
        except ValueError:
            event = None
        if isinstance(event, dict) and "topic" in event:
            done = cli("validate", text)
            check(done.returncode == 0, f"hookwire validate:\n{done.stdout}{done.stderr}")
        elif text.startswith('"keys"'):
            self._check_config('{"hooks":[{"plugin":"jwt","config":{' + text + "}}]}")
        elif not text.startswith("{"):
            self._check_config("{" + text + "}")
        elif re.match(r"\{\s*\"(name|plugin|lua)\"", text):
            self._check_config('{"hooks":[' + text + "]}")
        else:
            self._check_config(text)

    _run_jsonc = _run_json

    def _run_c(self, block):
        source, plugin = self.root / "example.c", self.root / "example.so"
        source.write_text(block.text)
        done = subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden",
                               "-I", str(ROOT / "core/include"), str(source), "-o", str(plugin)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=scaled(_DEADLINE))
        check(done.returncode == 0, f"cc:\n{done.stdout}")
        done = cli("check", "--plugin", plugin)
        check(done.returncode == 0, f"hookwire check --plugin:\n{done.stdout}{done.stderr}")


def run_page(name, text, log_timeout=_DEADLINE):
    """Runs all examples of a page, waiting so many seconds for a line of the log; returns how many."""
    with Page(name, text, log_timeout) as page:
        page.run()
        return len(page.blocks)
