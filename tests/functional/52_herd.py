#!/usr/bin/python3
# Everybody comes back in the same moment, with a cursor, while publishing goes on: nobody loses or repeats an event. Thousands of connections are
# reset, in handshakes, in frames, in requests: the broker lives, has its descriptors and its memory back, and nobody else is disturbed.
# (52_herd_10000.py does the same with more.)
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import herd


def test_all_come_back_at_once():
    herd.come_back_at_once(n_clients=200 if stretched() else 800, rate=100)


def test_a_storm_of_resets():
    herd.reset_by_the_thousand(count=1500 if stretched() else 6000)


main()
