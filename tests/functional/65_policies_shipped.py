#!/usr/bin/python3
# The policies that are shipped: each is in the README, the entry in its head can be used as it stands, its cases run every line of it.
import json
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

FOLDER = ROOT / "scripts/policies"
POLICIES = sorted(path for path in FOLDER.glob("*.lua") if not path.name.endswith(".test.lua"))


def head_of(path):
    """The comment at the beginning of a file, without its marks."""
    lines = path.read_text().split("\n")
    end = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(line[3:] for line in lines[:end])


def entry_of(path):
    found = re.search(r"The entry, in the broker's config[^:]*:\n(.*)", head_of(path), re.S)
    check(found, f"{path.name}: its head has no entry for the configuration")
    return json.loads(found[1].replace("../scripts/policies", str(FOLDER)))


def test_each_is_in_the_readme():
    check(len(POLICIES) >= 6, f"only {POLICIES}")
    named = set(re.findall(r"^\| `(\w+\.lua)` \|", (FOLDER / "README.md").read_text(), re.M))
    equal(named, {path.name for path in POLICIES}, "policies of the README's table")


def test_the_entry_of_each_head_can_be_used():
    for path in POLICIES:
        with temporary_directory() as directory:
            (directory / "hw.json").write_text(json.dumps({"tenants": {"*": {"hooks": [entry_of(path)]}}}))
            done = cli("check", "-c", directory / "hw.json", env={"FGA_STORE": "s1"})
            equal(done.returncode, 0, f"{path.name}: {done.stdout}")


def test_each_setting_of_a_head_is_one_that_the_file_reads_and_the_other_way():
    for path in POLICIES:
        head = head_of(path)
        settings = head[head.index("Settings,"):head.index("The entry,")]
        said = set(re.findall(r'^  "(\w+)":', settings, re.M))
        read = set(re.findall(r"\bconfig\.(\w+)", path.read_text()[len(head):]))
        equal(said, read, f"settings of {path.name}: said in its head, and read")


def test_cases_run_every_line():
    done = cli("policy", "test", "-q", "--coverage", FOLDER)
    equal(done.returncode, 0, done.stdout + done.stderr)
    covered = re.findall(r"^coverage \S+/(\w+\.lua): .* (\S+)%", done.stdout, re.M)
    equal(covered, [(path.name, "100.0") for path in POLICIES], "coverage")


main()
