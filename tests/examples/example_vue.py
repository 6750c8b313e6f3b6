#!/usr/bin/python3
# The Vue page of docs/examples/vue, as it is built: it follows one family and then another, publishes, and outlives the broker.
# ctest: timeout=200 cost=25
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.browser import Browser, chromium_or_exit
from hwtest.example import FAMILY, DevBroker, Example, fill, state_of, text_of, until_online, until_shown

chromium_or_exit()


def follow(tab, family):
    tab.run("""
        const field = document.querySelector('#family');
        field.value = FAMILY;
        field.dispatchEvent(new Event('change'));""", FAMILY=family)


def test_a_page_that_follows_one_family_and_then_another():
    example = Example("vue")
    with DevBroker(is_open=False) as broker, Browser() as browser:  # the token says which families
        example.run("npm run build", VITE_HOOKWIRE_URL=broker.url)
        scripts = "".join(file.read_text() for file in (example.cwd / "dist").rglob("*.js"))
        contains(scripts, "/api/token", "where the page's token is from")
        for secret in (SECRET, "HOOKWIRE_JWT_SECRET"):  # the first was in the environment
            check(secret not in scripts, f"{secret} is in the page's scripts")
        with example.serve("npm run preview") as server:
            tab, other = (browser.open(server.origin) for _ in range(2))
            for one in (tab, other):
                until_online(one)
            broker.publish("Bike")
            for one in (tab, other):
                until_shown(one, "#news", "backend: ADDED Bike")
            fill(tab, "#publish", name="Kite")
            for one in (tab, other):
                until_shown(one, "#news", "alice: ADDED Kite")

            follow(tab, "family-456")
            wait_until(lambda: text_of(tab, "#news") == "", what="the other family's list to be empty")
            broker.publish("Train", family="family-456")
            until_shown(tab, "#news", "Train")
            broker.publish("Drum")
            until_shown(other, "#news", "Drum")
            equal(text_of(tab, "#news"), "backend: ADDED Train", "what the page shows of the two families")
            follow(tab, FAMILY)
            wait_until(lambda: text_of(tab, "#news") == "", what="the list to be empty again")
            fill(tab, "#publish", name="Top")
            for one in (tab, other):
                until_shown(one, "#news", "Top")
                equal(one.complaints(), [], "what the console says")

            broker.kill()
            wait_until(lambda: state_of(tab) != "online", what="the page to see it")
            broker.start()
            for one in (tab, other):
                until_online(one)
                until_shown(one, "#news", "missed")  # the journal was in memory
            contains(text_of(other, "#news"), "Bike", "the page was not loaded again")
            broker.publish("Ball")
            for one in (tab, other):
                until_shown(one, "#news", "Ball")


def test_the_page_while_it_is_written():
    example = Example("vue")
    with DevBroker() as broker, example.serve("npm run dev", VITE_HOOKWIRE_URL=broker.url) as server, Browser() as browser:
        tab = browser.open(server.origin)
        until_online(tab)
        fill(tab, "#publish", name="Kite")
        until_shown(tab, "#news", "alice: ADDED Kite")
        equal(tab.complaints(), [], "what the console says")


main()
