#!/usr/bin/python3
# The broker is killed at random moments under load: what was acknowledged is in the file, in order and once, nothing was
# delivered that is not, and numbers go on.
# ctest: timeout=240
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.kill import kill_again_and_again


def test_ten_kills_under_load():
    kill_again_and_again(10, seed=1)


def test_kills_while_much_is_trimmed_and_the_log_is_copied_often():
    kill_again_and_again(5, seed=2, settings={"checkpoint_bytes": 65536}, retention={"count": 300})


main()
