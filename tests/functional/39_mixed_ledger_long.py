#!/usr/bin/python3
# As 39_mixed_ledger.py, for ten minutes: with the journal in memory, and in a file under brokers that are killed or drained.
# ctest: timeout=1800
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database
from hwtest.mixed import mixed_run

SECONDS = 600


def test_published_is_delivered():
    mixed_run(SECONDS, bulk_s=20, reload_s=2)


def test_published_is_delivered_across_restarts():
    with Database() as db:
        mixed_run(SECONDS, database=db, bulk_s=20, reload_s=2, restart_s=20)
        db.check()


main()
