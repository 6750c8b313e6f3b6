#!/usr/bin/python3
# `cmake --install` makes a tree that works wherever it is put: binary, plugins, header, policies, configuration, schema.
# ctest: timeout=120
import json
import os
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def install(prefix):
    """Installs the build that the binary under test belongs to."""
    build = pathlib.Path(binary()).resolve().parent
    done = subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    equal(done.returncode, 0, f"cmake --install:\n{done.stdout}")


def test_the_installed_tree_has_its_parts_and_runs_elsewhere():
    with temporary_directory() as directory:
        install(directory / "first")
        root = (directory / "first").rename(directory / "moved")
        for part in ("bin/hookwire", "lib/hookwire/plugins/jwt.so", "include/hookwire/plugin.h",
                     "share/hookwire/policies/family.lua", "etc/hookwire/dev.json", "etc/hookwire/hookwire.schema.json"):
            check((root / part).is_file(), f"{part} is not installed")
        os.environ["HOOKWIRE_BIN"], before = str(root / "bin" / "hookwire"), binary()
        try:
            version = cli("version")
            equal(version.returncode, 0, "version")
            for path in sorted((root / "etc" / "hookwire").glob("*.json")):
                if path.name.endswith(".schema.json"):
                    json.loads(path.read_text())
                    continue
                checked = cli("check", "-c", path)
                equal(checked.returncode, 0, f"check of {path.name}: {checked.stdout}{checked.stderr}")
            # a plugin by its bare name and a policy beside the configuration, from the moved tree
            with Broker() as broker:
                equal(http(broker.address, "GET", "/healthz").status, 200, "health")
                with WsClient(broker.address, token=mint("u1")) as client:
                    client.subscribe("gift-list:1")
        finally:
            os.environ["HOOKWIRE_BIN"] = before


def test_a_plugin_compiles_against_the_installed_header_alone():
    with temporary_directory() as directory:
        install(directory)
        source = directory / "plugin.c"
        source.write_text("#include <hookwire/plugin.h>\n")
        done = subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(directory / "include"), str(source)],
                              stderr=subprocess.PIPE, text=True)
        equal(done.returncode, 0, f"compiling: {done.stderr}")


main()
