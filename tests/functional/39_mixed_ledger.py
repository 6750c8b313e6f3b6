#!/usr/bin/python3
# Many sessions over every transport, which reconnect, switch, stall and change their subscriptions while the broker reloads and
# publishers repeat themselves: at the end each has what it is owed, once and in order.
# ctest: timeout=180
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.mixed import mixed_run


def test_published_is_delivered():
    mixed_run(7.5)


main()
