#!/usr/bin/python3
# The private copies of plugins: each broker has a directory of its own, and what a killed one left goes when the next one starts.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def kill(broker):
    broker.process.kill()
    broker.process.wait()


def test_a_broker_removes_its_directory_and_what_killed_ones_left():
    with temporary_directory() as tmp:
        parent = tmp / "cache"
        config = {"plugin_cache": str(parent)}
        with Broker(config) as alive:
            with raises(BrokerDied):
                with Broker(config) as killed:
                    left = killed.plugin_cache()
                    equal(left.parent, parent, "where it is")
                    equal(left.stat().st_mode & 0o777, 0o700, "its mode")
                    kill(killed)
            check(any(left.iterdir()), "the killed broker left nothing")
            mine = parent / "hookwire-plugins-abcdef"  # as one that nobody holds, but with what no broker puts there
            (mine / "folder").mkdir(parents=True)
            (tmp / "elsewhere").mkdir()
            (tmp / "elsewhere/file").touch()
            (parent / "hookwire-plugins-symlnk").symlink_to(tmp / "elsewhere")
            (parent / "hookwire-plugins-longer-name").mkdir()
            with Broker(config) as next_one:
                check(not left.exists(), "it is left still")
                check(next_one.plugin_cache() != alive.plugin_cache(), "two brokers share a directory")
                check(any(alive.plugin_cache().iterdir()), "the directory of a broker that runs is empty")
            check(any(alive.plugin_cache().iterdir()), "the directory of a broker that runs is empty")
            check((mine / "folder").exists() and (tmp / "elsewhere/file").exists(), "what is no broker's is gone")
        equal(sorted(p.name for p in parent.iterdir()),
              ["hookwire-plugins-abcdef", "hookwire-plugins-longer-name", "hookwire-plugins-symlnk"], "what is left")


def test_without_a_configured_directory_it_is_the_same():
    with raises(BrokerDied):
        with Broker() as killed:
            left = killed.plugin_cache()
            kill(killed)
    equal(cli("check", "-c", ROOT / "conf/minimal.json").returncode, 0, "check")
    check(not left.exists(), "it is left still")
    with Broker() as broker:
        mine = broker.plugin_cache()
        equal(mine.parent, left.parent, "where it is")
    check(not mine.exists(), "a broker that drained left its directory")


main()
