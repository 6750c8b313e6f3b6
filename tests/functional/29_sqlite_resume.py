#!/usr/bin/python3
# The broker is killed again and again under load, or drained, and who follows over WebSocket, SSE and polls goes on where it was:
# there is no gap, what was acknowledged comes once and in order.
# ctest: timeout=180
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database
from hwtest.mixed import mixed_run


def test_clients_resume_across_restarts():
    with Database() as db:
        mixed_run(8.0, database=db, per_tenant=6, stalling=1, reload_s=None, restart_s=0.8)
        db.check()


main()
