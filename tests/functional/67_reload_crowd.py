#!/usr/bin/python3
# Reload at noon on a busy day: ten thousand sessions, five thousand deliveries a second, two hundred SIGHUPs in a row, a quarter of them
# broken, some without descriptors, memory or disk. Nobody is disconnected, no event is lost or comes twice, memory does not grow. How long
# deliveries took is printed beside quiet times, and judged by nobody: scripts/dev/bench reload measures that.
# ctest: timeout=600
# ctest: label=long
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import storm

N_SESSIONS, N_RELOADS, DELIVERIES_PER_S = 10_000, 200, 5_000
QUIET_S = 10
FILES = N_SESSIONS + 500


def test_a_storm_of_reloads_disturbs_nobody_of_ten_thousand():
    need_files(FILES)
    disk = storm.may_mount()
    with storm.broker(disk, workers=2, reauth_ms=5000) as broker, \
            storm.Crowd(broker, storm.TENANTS, N_SESSIONS, DELIVERIES_PER_S) as crowd:
        crowd.begin("quiet")
        time.sleep(QUIET_S)  # the length of a measurement
        quiet = crowd.end()
        before = None
        crowd.begin("storm")
        for n in range(N_RELOADS):
            storm.one_round(broker, n, disk, crowd)
            if n == N_RELOADS // 4:
                before = broker.rss_bytes()
        grown = broker.rss_bytes() - before
        stormy = crowd.end()
        for phase in (quiet, stormy):
            print("{phase}: {deliveries} deliveries in {seconds:.0f} s, p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms".format(**phase))
        print(f"storm over quiet: p50 {stormy['p50_ms'] / quiet['p50_ms']:.2f}, p99 {stormy['p99_ms'] / quiet['p99_ms']:.2f}")
        print(f"memory: {before >> 20} MiB after {N_RELOADS // 4} reloads, {grown >> 10} KiB more at the end", flush=True)
        check(stretched() or grown < 4 << 20, f"memory grew by {grown >> 10} KiB")
        storm.asked_again(broker)
        check(broker.metric("hookwire_reauthorizations_total") > N_SESSIONS, "nobody was asked again")
        equal(broker.metric("hookwire_revoked_total"), 0, "what was taken away")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        equal(broker.metric("hookwire_sessions"), N_SESSIONS + len(storm.TENANTS), "who is there")


main()
