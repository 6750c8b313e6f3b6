#!/usr/bin/python3
# SIGTERM with many clients of all kinds, and publishing to the last moment: closes are spread over drain_ms, v1 clients are advised when to come
# back, and a second broker on the same journal takes them all with their cursors: nobody loses or repeats an event that was acknowledged.
# (42_drain_crowd_5000.py does the same with five thousand.)
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.drained import drain_and_restart


CLIENTS, DRAIN_MS = (200, 8000) if stretched() else (400, 3000)


def test_a_small_crowd_is_drained_and_comes_back():
    drain_and_restart(n_clients=CLIENTS, drain_ms=DRAIN_MS, rate=100)


def test_who_stays_has_all_of_the_time_although_many_leave_at_once():
    drain_and_restart(n_clients=CLIENTS, drain_ms=DRAIN_MS, rate=100, leave_share=1)


main()
