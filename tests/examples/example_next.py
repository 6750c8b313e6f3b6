#!/usr/bin/python3
# The Next.js app of docs/examples/next: its list is in the server's HTML, React takes it over without a complaint, and what back ends publish
# is seen, also behind a broker that was killed.
# ctest: timeout=900 cost=100
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.browser import Browser, chromium_or_exit
from hwtest.example import DevBroker, Example, fill, state_of, text_of, until_online, until_shown

chromium_or_exit()


def test_a_list_that_the_server_renders_and_the_page_keeps_up_to_date():
    example = Example("next")
    example.build("npm run build", ".next")
    with DevBroker() as broker, example.serve("npm start", HOOKWIRE_URL=broker.url) as server, Browser() as browser:
        def gifts():
            return json.loads(http(server.address, "GET", "/api/gift-lists/family-123").body)

        answer = http(server.address, "GET", "/")
        equal(answer.status, 200, "the page")
        contains(answer.body.decode(), "<li>Book</li>", "the list in the HTML")

        tab, other = (browser.open(server.origin) for _ in range(2))
        for one in (tab, other):
            until_online(one)
            contains(text_of(one, "#gifts"), "Book", "the list")

        broker.publish("Bike")
        for one in (tab, other):
            until_shown(one, "#gifts", "Bike")
        fill(tab, "#add", name="Kite")
        until_shown(other, "#gifts", "Kite")
        until_shown(tab, "#gifts", "Kite")
        equal([gift["name"] for gift in gifts()], ["Book", "Kite"], "what the server has stored")
        equal(tab.run("return document.querySelectorAll('#gifts li').length;"), 3, "each gift once")
        for one in (tab, other):
            equal(one.complaints(), [], "what the console says, of hydration and else")

        broker.kill()
        wait_until(lambda: state_of(tab) != "online", what="the page to see it")
        fill(other, "#add", name="Train")
        wait_until(lambda: len(gifts()) == 3, what="the gift to be stored")
        broker.start()
        for one in (tab, other):
            until_online(one)
            until_shown(one, "#gifts", "Train")
        broker.publish("Drum", entity="gift-789")
        for one in (tab, other):
            until_shown(one, "#gifts", "Drum")


def test_the_server_keeps_its_secret_and_its_lists():
    example = Example("next")
    example.build("npm run build", ".next")
    page = "".join(file.read_text() for file in sorted((example.cwd / ".next/static").rglob("*.js")))
    check(len(page) > 1000, "the page's scripts")
    for word in ("HOOKWIRE_JWT_SECRET", "jose", "Idempotency-Key"):
        check(word not in page, f"{word} is in the page's scripts")
    with example.serve("npm start") as server:
        address = server.address
        equal(http(address, "GET", "/api/gift-lists/family-456").status, 403, "another family's list")
        for body in (b"null", b'{"name":', {}, {"name": ""}, {"name": 1}, {"name": "x" * 101}):
            equal(http(address, "POST", "/api/gift-lists/family-123", body=body).status, 400, f"a gift that is {body}"[:80])
        answer = http(address, "GET", "/api/token")
        equal((answer.status, answer.header("cache-control")), (200, "no-store"), "a token")
    with example.serve("npm start", HOOKWIRE_JWT_SECRET="") as server:
        equal(http(server.address, "GET", "/api/token").status, 500, "no secret, no token")


main()
