#!/usr/bin/python3
# As 52_herd.py: ten thousand come back at once, and a hundred thousand connections are reset.
# ctest: timeout=900
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import herd


def test_ten_thousand_come_back_at_once():
    herd.come_back_at_once(n_clients=10000, rate=200)


def test_a_long_storm_of_resets():
    herd.reset_by_the_thousand(count=100000)


main()
