#!/usr/bin/python3
# The Next.js app of docs/examples/next while it is written: React's StrictMode, and its words about hydration in full. It compiles for a while, and what was built
# has to be built again: it is left to scripts/dev/test --all.
# ctest: timeout=400
# ctest: label=long
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.browser import Browser, chromium_or_exit
from hwtest.example import BUILD_S, DevBroker, Example, fill, until_online, until_shown

chromium_or_exit()


def test_the_app_while_it_is_written():
    example = Example("next")
    with DevBroker() as broker, example.serve("npm run dev", HOOKWIRE_URL=broker.url) as server, Browser() as browser:
        for path in ("/", "/api/token", "/api/gift-lists/family-123"):  # compiled when they are asked for
            equal(http(server.address, "GET", path, timeout=BUILD_S).status, 200, path)
        tab = browser.open(server.origin)
        until_online(tab)
        broker.publish("Bike")
        until_shown(tab, "#gifts", "Bike")
        fill(tab, "#add", name="Kite")
        until_shown(tab, "#gifts", "Kite")
        equal(broker.sessions(), 1, "connections of a page whose effects run twice")
        equal(tab.complaints(), [], "what the console says")


main()
