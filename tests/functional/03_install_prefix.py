#!/usr/bin/python3
# `cmake --install` makes a tree that works wherever it is put: binary, plugins, header, policies, configuration, schema.
# ctest: timeout=120
import json
import os
import pathlib
import re
import shutil
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
                     "lib/pkgconfig/hookwire-plugin.pc", "lib/cmake/hookwire/hookwireConfig.cmake",
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


def test_a_tenant_file_that_is_switched_on_names_the_installed_policy():
    with temporary_directory() as directory:
        install(directory)
        etc = directory / "etc/hookwire"
        (etc / "tenants.d/example.json.off").rename(etc / "tenants.d/acme.json")
        os.environ["HOOKWIRE_BIN"], before = str(directory / "bin/hookwire"), binary()
        try:
            checked = cli("check", "-c", etc / "hookwire.json")
        finally:
            os.environ["HOOKWIRE_BIN"] = before
        equal(checked.returncode, 0, f"check: {checked.stdout}{checked.stderr}")
        contains(checked.stdout, "2 files", "what was checked")


def test_a_second_installation_keeps_what_the_operator_wrote():
    with temporary_directory() as directory:
        install(directory)
        theirs = directory / "etc/hookwire/hookwire.json"
        shipped = theirs.read_text()
        install(directory)
        check(not list(theirs.parent.glob("*.new")), "nothing was edited, and there is a .new")
        theirs.write_text("// mine\n" + shipped)
        install(directory)
        equal(theirs.read_text(), "// mine\n" + shipped, "the operator's file")
        equal((theirs.parent / "hookwire.json.new").read_text(), shipped, "the shipped one beside it")


def test_the_unit_names_what_is_installed():
    with temporary_directory() as directory:
        install(directory)
        unit = directory / "etc/hookwire/hookwire.service"
        commands = re.findall(r"^Exec\w+=(\S+) (?:check|serve) -c (\S+)$", unit.read_text(), re.M)
        equal([*map(pathlib.Path, dict.fromkeys(path for both in commands for path in both))],
              [directory / "bin/hookwire", directory / "etc/hookwire/hookwire.json"], "what the unit starts")
        for path in re.findall(rf"{directory}\S*", unit.read_text()):
            check(pathlib.Path(path).exists() or path.endswith("/secrets.env"), f"the unit names {path}")
        if shutil.which("systemd-analyze"):
            done = subprocess.run(["systemd-analyze", "verify", str(unit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            equal((done.returncode, done.stdout), (0, ""), "systemd-analyze verify")


def test_a_configuration_directory_outside_of_the_prefix():
    with temporary_directory() as directory:
        install(directory / "usr")
        done = subprocess.run(["cmake", f"-DCMAKE_INSTALL_PREFIX={directory}/usr", f"-DHW_CONF_SOURCE={ROOT}/conf",
                               f"-DHW_CONF_STAGE={directory}/stage", f"-DHW_SYSCONFDIR={directory}/etc",
                               "-P", str(ROOT / "cmake/install_conf.cmake")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        equal(done.returncode, 0, done.stdout)
        checked = cli("check", "-c", directory / "etc/hookwire/minimal.json")
        equal(checked.returncode, 0, f"check: {checked.stdout}{checked.stderr}")
        contains((directory / "etc/hookwire/hookwire.service").read_text(),
                 f"ExecStart={directory}/usr/bin/hookwire serve -c {directory}/etc/hookwire/hookwire.json\n", "the unit")


def test_a_plugin_compiles_against_the_installed_header_alone():
    with temporary_directory() as directory:
        install(directory)
        source = directory / "plugin.c"
        source.write_text("#include <hookwire/plugin.h>\n")
        done = subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(directory / "include"), str(source)],
                              stderr=subprocess.PIPE, text=True)
        equal(done.returncode, 0, f"compiling: {done.stderr}")


main()
