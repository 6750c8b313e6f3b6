#!/usr/bin/python3
# The plain page of docs/examples/html: two files on a static server are all of it; it follows, publishes, and outlives the broker.
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.browser import Browser, chromium_or_exit
from hwtest.example import FAMILY, DevBroker, Example, fill, text_of, until_shown

chromium_or_exit()


def test_a_page_of_two_files():
    example = Example("html")
    example.run("cp clients/js/dist/hookwire.iife.js docs/examples/html/")
    static = example.serve("python3 -m http.server 3000 --bind 127.0.0.1 --directory docs/examples/html")
    with static as server, DevBroker() as broker, Browser() as browser:
        tab = browser.open(server.origin)
        equal(text_of(tab, "#state"), "idle", "before anything is followed")

        fill(tab, "#connect", url=broker.url, token="no token", topic=f"gift-list:{FAMILY}")
        until_shown(tab, "#state", "failed")
        check(text_of(tab, "#problem"), "it says why")
        check(tab.run("return !document.querySelector('#retry').hidden;"), "and lets the user try again")

        fill(tab, "#connect", token=mint("alice"))
        until_shown(tab, "#state", "online")
        equal(text_of(tab, "#problem"), "", "nothing is wrong")
        broker.publish("Bike")
        until_shown(tab, "#events", "ADDED gift-456 Bike")

        with WsClient(broker.address, token=mint("bob"), protocols=["hookwire.v1"]) as other:
            other.subscribe(f"gift-list:{FAMILY}")
            fill(tab, "#publish", name="<b>Kite</b>")
            data = other.recv_event()["data"]
            equal((data["payload"], data["user_id"]), ({"name": "<b>Kite</b>"}, "alice"), "what the page published")
        until_shown(tab, "#events", "<b>Kite</b>")

        broker.kill()
        wait_until(lambda: text_of(tab, "#state") in ("waiting", "connecting"), what="the page to see it")
        broker.start()
        until_shown(tab, "#state", "online", 60)
        until_shown(tab, "#events", "missed")  # its journal was in memory
        broker.publish("Train")
        until_shown(tab, "#events", "Train")
        contains(text_of(tab, "#events"), "Bike", "the page was not loaded again")


main()
