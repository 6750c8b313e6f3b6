#!/usr/bin/python3
# As 29_sqlite_kill.py, a hundred times.
# ctest: timeout=1200
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.kill import kill_again_and_again


def test_a_hundred_kills_under_load():
    kill_again_and_again(100, seed=3)


main()
