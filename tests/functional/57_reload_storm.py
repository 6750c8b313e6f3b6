#!/usr/bin/python3
# Reloads by the hundred under load, a quarter of them broken, some without descriptors, memory or disk: nobody is disconnected, no
# event is lost or comes twice, memory does not grow, and each broken unit is refused by its name while the others go on.
# (67_reload_crowd.py does the same with ten thousand.)
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import storm

N_SESSIONS, N_RELOADS, DELIVERIES_PER_S = 500, 200, 1000


def test_a_storm_of_reloads_disturbs_nobody():
    disk = storm.may_mount()
    with storm.broker(disk, workers=2) as broker, storm.Crowd(broker, storm.TENANTS, N_SESSIONS, DELIVERIES_PER_S) as crowd:
        crowd.begin("storm")
        for n in range(N_RELOADS):
            storm.one_round(broker, n, disk, crowd)
            if n == N_RELOADS // 4:
                before = broker.rss_bytes()
        grown = broker.rss_bytes() - before
        phase = crowd.end()
        check(phase["deliveries"] > 10 * N_RELOADS, f"{phase['deliveries']} deliveries are no load")
        check(stretched() or grown < 2 << 20, f"memory grew by {grown >> 10} KiB")
        storm.asked_again(broker)
        check(broker.metric("hookwire_reauthorizations_total") > N_SESSIONS, "nobody was asked again")
        equal(broker.metric("hookwire_revoked_total"), 0, "what was taken away")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        equal(broker.metric("hookwire_sessions"), N_SESSIONS + len(storm.TENANTS), "who is there")


main()
