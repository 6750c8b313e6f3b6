#!/usr/bin/python3
# As 50_slow_crowd.py: a thousand clients, two thousand events a second, and fifty of the clients do not read for half a minute.
# ctest: timeout=300
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import slow


def test_fifty_of_a_thousand_stop_reading():
    slow.stop_reading_and_go_on(sessions=1000, slow=50, events_per_s=2000, pad=512, seconds=30)


main()
