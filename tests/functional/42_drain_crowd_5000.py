#!/usr/bin/python3
# As 42_drain_crowd.py, with five thousand.
# ctest: timeout=400
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.drained import drain_and_restart


def test_five_thousand_are_drained_and_come_back():
    drain_and_restart(n_clients=5000, drain_ms=10000, rate=200)


main()
