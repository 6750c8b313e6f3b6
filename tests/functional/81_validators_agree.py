#!/usr/bin/python3
# Events at random, good, nearly good and nasty: hookwire validate, validate-ws-event, hookwire/validate (JavaScript), hookwire.validate (Python) and
# docs/event.schema.json have one verdict on each. HOOKWIRE_SEED repeats a run, HOOKWIRE_CASES sets how many cases it has.
# ctest: timeout=120
import json
import os
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

HERE = pathlib.Path(__file__).resolve().parent
CASES = 1000


def test_all_validators_have_one_verdict():
    seed = seed_of_run()
    cases = int(os.environ.get("HOOKWIRE_CASES") or CASES)
    done = subprocess.run(["node", str(HERE / "validators_agree.mjs"), binary(), sys.executable, str(seed), str(cases)], cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=scaled(100))
    equal(done.returncode, 0, f"with HOOKWIRE_SEED={seed}: {done.stdout[:2000]}{done.stderr[-1000:]}; exit code")
    counts = json.loads(done.stdout)
    print(counts)
    equal((counts["ran"], counts["extra"]), (cases, 0), "how many were judged, and how many of these one by one")
    for kind in ("valid", "invalid", "no_json"):
        check(counts[kind] > cases * 0.03, f"hardly any is {kind}: {counts}")


main()
