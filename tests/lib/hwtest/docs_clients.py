"""Of docs.py: the examples of the pages in clients/.

    js, ts    the page's blocks, one in the other, are a program: it runs to its end before a real broker and shows or publishes gift-456
    jsx       is not run: what needs a page around is driven in docs/examples
    python    the page's blocks are a program too, whose FastAPI is then asked to publish

`check_types(blocks)` has tsc look at those of JavaScript and TypeScript, run or not, of many pages at once. What a reader has of their own (`patch`, `TOKEN`, `app` …) is in
tests/lib/docs: names.d.ts for tsc, page.mjs and page.py for those that run.
"""
import json
import os
import re
import shutil
import subprocess

from .broker import ROOT, Broker
from .check import check
from .run import temporary_directory
from .token import mint
from .wait import scaled
from .ws import WsClient

_OF_READERS = ROOT / "tests/lib/docs"
_JS, _NODE, _PYTHON = (ROOT / "clients" / name for name in ("js", "node", "python"))
_SHOWN_ADDRESS = re.compile(r"https?://(realtime\.example\.com|localhost:8080|127\.0\.0\.1:8080)\b")
_SHOWN_TOKEN = "the development token"
_IMPORT = re.compile(r"^import (?:(\w+)|\{([^}]*)\}) from '([^']+)';", re.M)
_TOPIC, _GIFT = "gift-list:family-123", "gift-456"
_DEADLINE = 60.0
_SCRIPTS = ("js", "ts", "jsx")
LANGUAGES = (*_SCRIPTS, "python")


def _link_packages(folder):
    """A node_modules that has the clients, and what their tests have."""
    modules = folder / "node_modules"
    modules.mkdir()
    for package in (_JS, _NODE):
        for entry in (package / "node_modules").iterdir():
            if not entry.name.startswith(".") and not (modules / entry.name).exists():
                (modules / entry.name).symlink_to(entry)
    (modules / "hookwire-client").symlink_to(_JS)
    (modules / "hookwire").symlink_to(_NODE)


def check_types(blocks):
    """tsc has nothing to say about those of JavaScript and TypeScript."""
    options = {"target": "es2022", "module": "esnext", "moduleResolution": "bundler", "moduleDetection": "force", "lib": ["es2022", "dom", "dom.iterable"],
               "types": ["node"], "jsx": "react-jsx", "allowJs": True, "strict": False, "skipLibCheck": True, "noEmit": True}
    with temporary_directory() as folder:
        _link_packages(folder)
        shutil.copy(_OF_READERS / "names.d.ts", folder)
        for block in (block for block in blocks if block.language in _SCRIPTS):
            # a line before it, so that its line n is the page's line LINE + n - 1; and the packages' own sources are not checked once more
            (folder / f"{block.page.replace('/', '-')}-{block.line}.{block.language}").write_text("// @ts-check\n" + block.text)
        (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*"]}))
        done = subprocess.run([_JS / "node_modules/.bin/tsc", "-p", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                              timeout=scaled(_DEADLINE))
    check(done.returncode == 0, f"tsc, of PAGE-LINE, where the block begins:\n{done.stdout[-3000:]}")


def _watched(command, env, cwd, broker, n_events):
    """Runs it to its end: so many events have come of it. What it printed."""
    with WsClient(broker.address, token=mint("watcher"), protocols=["hookwire.v1"]) as watcher:
        watcher.subscribe(_TOPIC)
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                              env={**os.environ, **env}, timeout=scaled(_DEADLINE))
        check(done.returncode == 0, f"it ended with {done.returncode}:\n{done.stdout[-3000:]}")
        for _ in range(n_events):
            data = watcher.recv_event()["data"]
            check((data["entity_id"], data["payload"]) == (_GIFT, {"name": "Bike"}), f"it published {data}")
    return done.stdout


def _family_broker():
    return Broker({"tenants": {"*": {"hooks": [{"name": "family", "lua": str(ROOT / "scripts/policies/family.lua"), "config": {"open_resources": ["gift-list"]}}]}}})


def _imported(found):
    """An import that may stand in a scope."""
    default, names, module = found.groups()
    return f"const {{ {f'default: {default}' if default else names.replace(' as ', ': ')} }} = await import('{module}');"


def _run_js(blocks):
    """The blocks of a page as one program. Each is in the scope of those before it, and may use a name again."""
    with temporary_directory() as folder, _family_broker() as broker:
        _link_packages(folder)
        shutil.copy(_OF_READERS / "page.mjs", folder)
        body = "".join("{\n" + _IMPORT.sub(_imported, block.text) for block in blocks)
        program = "import './page.mjs';\n" + body + "await done();\n" + "}\n" * len(blocks) + "process.exit(0);\n"
        token = mint("alice")
        (folder / "program.mjs").write_text(_SHOWN_ADDRESS.sub(f"http://{broker.address}", program).replace(_SHOWN_TOKEN, token))
        publishes = sum(".publish(" in block.text for block in blocks)
        shows = "console.log(event" in program
        env = {"HOOKWIRE_TOKEN": token, **({"HOOKWIRE_SHOWS": "1"} if shows else {})}
        printed = _watched(["node", "program.mjs"], env, folder, broker, publishes)
        check(not shows or f"UPDATED {_GIFT}" in printed, f"it prints no event:\n{printed[-3000:]}")


def _run_python(blocks):
    """The blocks of a page as one program."""
    with temporary_directory() as folder, _family_broker() as broker:
        program = "from page import *\n" + "".join(block.text for block in blocks) + "finish(globals())\n"
        (folder / "program.py").write_text(_SHOWN_ADDRESS.sub(f"http://{broker.address}", program))
        publishes = sum(len(re.findall(r"\bpublish\(\"gift-list", block.text)) for block in blocks)
        env = {"HOOKWIRE_TOKEN": mint("backend", role="service"), "PYTHONPATH": f"{_PYTHON}:{_OF_READERS}", "PYTHONDONTWRITEBYTECODE": "1"}
        _watched([ROOT / ".cache/clients/bin/python3", "program.py"], env, folder, broker, publishes)


def run(blocks):
    """What the blocks of one page say is so; else an AssertionError."""
    python = [block for block in blocks if block.language == "python"]
    scripts = [block for block in blocks if block.language in _SCRIPTS]
    if scripts and all(block.language != "jsx" for block in scripts):  # else they are parts of components
        _run_js(scripts)
    if python:
        _run_python(python)
