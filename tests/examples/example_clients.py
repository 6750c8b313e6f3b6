#!/usr/bin/python3
# The pages of the clients are true: their examples are run before a real broker, or are what TypeScript says that they may be.
# ctest: timeout=200 cost=25
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.docs import blocks_of, run_page
from hwtest.docs_clients import check_types

PAGES = sorted((ROOT / "clients").glob("*/*.md"))


def test_every_example_of_the_clients_runs():
    check(len(PAGES) >= 4, f"pages: {PAGES}")
    for path in PAGES:
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        n_blocks = run_page(name, text)
        print(f"     {name}: {n_blocks} blocks", flush=True)
        equal(n_blocks * 2, text.count("```"), f"fences of {name}")


def test_every_example_of_the_clients_has_the_types_that_it_should():
    check_types([block for path in PAGES for block in blocks_of(str(path.relative_to(ROOT)), path.read_text())])


def fence(language, text):
    return f"```{language}\n{text}\n```\n"


IMPORT = "import { Publisher } from 'hookwire';\nconst publisher = new Publisher({ url: 'http://127.0.0.1:8080', token: process.env.HOOKWIRE_TOKEN });\n"
PUBLISH = "await publisher.publish({ topic: 'gift-list:family-123', event: 'UPDATED', data: { entity_id: 'gift-456', payload: { name: 'Bike' } } });"
# wrong examples, and what is said about them
BROKEN = {
    "a program that ends in an error": (fence("js", IMPORT + PUBLISH + "\nthrow new Error('of the example');"), "of the example"),
    "another gift": (fence("js", IMPORT + PUBLISH.replace("Bike", "Kite")), "Kite"),
    "Python": (fence("python", "import hookwire\nhookwire.Client('http://127.0.0.1:8080', tokn=TOKEN)"), "tokn"),
}


def test_a_broken_example_is_found():
    for what, (text, said) in BROKEN.items():
        with raises(Failure, what) as caught:
            run_page("clients/page.md", text)
        contains(str(caught[0]), said, what)
    text = fence("jsx", "client.subscribe('a:1', () => {}, { onGop() {} });") + fence("js", "\nclient.subscibe('a:1');")
    with raises(Failure, "names that there are not") as caught:
        check_types(blocks_of("clients/page.md", text))
    for part in ("clients-page.md-1.jsx(2,", "onGop", "clients-page.md-4.js(3,", "subscibe"):
        contains(str(caught[0]), part, "what tsc says")


main()
