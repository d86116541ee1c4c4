"""The data report in a real browser, from disk: it plays, it fits, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.charts import colliding_labels, cut_labels
from tests.browser.chromium import Tab, complaints, opened, requests, role
from tests.support.prepared import HOSTILE_TEXT, hostile_rows, write_corpus
from wavewright.data.corpus.report.page import write_data_report
from wavewright.webpage.render import printable

pytestmark = pytest.mark.browser
PLAYER = "document.querySelectorAll('audio')[{}]"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_corpus(tmp_path_factory.mktemp("prepared"), hostile_rows())
    return write_data_report(folder, title="Data of <i>toys</i>")


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory, page: Path) -> Path:
    """Report of the same corpus with too little room for lossless sounds."""
    folder = write_corpus(tmp_path_factory.mktemp("small"), hostile_rows())
    megabytes = 0.75e-6 * page.stat().st_size
    return write_data_report(folder, title="Data of toys", megabytes=megabytes)


@pytest.fixture
def tab(browser: Tab, page: Path) -> Iterator[Tab]:
    yield from opened(browser, page)


def test_it_opens_without_a_request_or_a_complaint(tab: Tab, page: Path) -> None:
    for number in range(2):
        tab.run(f"{PLAYER.format(number)}.play().then(() => true)")
    assert complaints(tab) == []
    assert requests(tab) == [page.as_uri()]


@pytest.mark.parametrize("kind", ["page", "small_page"])
def test_every_player_has_the_utterances_duration(
    browser: Tab, kind: str, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(kind))
    result = browser.run(
        "Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {"
        "audio.onloadedmetadata = () => done([audio.ariaLabel, audio.duration]);"
        "audio.onerror = () => done([audio.ariaLabel, -1]);"
        "audio.preload = 'auto'; audio.load();})))"
    )
    seconds = {row["id"]: row["seconds"] for row in hostile_rows()}
    assert len(result) > 15
    for name, duration in result:
        assert duration == pytest.approx(seconds[name], abs=0.1 if kind == "small_page" else 0.01)


def test_one_player_sounds_at_a_time(tab: Tab) -> None:
    longest = "document.querySelector('audio[aria-label=\"made-002\"]')"
    tab.run(f"{longest}.play().then(() => true)")
    assert tab.run(f"{longest}.paused") is False
    tab.run(f"{PLAYER.format(0)}.play().then(() => true)")
    tab.wait(lambda: tab.run(f"{longest}.paused"), seconds=1.5)  # before it would end by itself
    assert tab.run("document.querySelectorAll('.clip.playing').length") <= 1


def test_text_stays_text(tab: Tab) -> None:
    assert tab.run("document.title") == "Data of <i>toys</i>"
    assert tab.run("document.querySelectorAll('script').length") == 1
    assert tab.run("document.querySelectorAll('main img:not([src^=\"data:\"])').length") == 0
    quotes = tab.run("[...document.querySelectorAll('blockquote')].map(q => q.textContent)")
    assert printable(HOSTILE_TEXT) in quotes


def test_it_follows_the_readers_light_or_dark(tab: Tab) -> None:
    shown = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        tab.call("Emulation.setEmulatedMedia", features=features)
        shown[scheme] = [
            tab.run(f"getComputedStyle(document.querySelector('{element}')).{what}")
            for element, what in (("body", "backgroundColor"), (".bar", "fill"))
        ]
    assert all(light != dark for light, dark in zip(shown["light"], shown["dark"], strict=True))


@pytest.mark.parametrize("width", [320, 400, 768, 1280])
def test_nothing_sticks_out_sideways(tab: Tab, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    tab.call("Emulation.setDeviceMetricsOverride", **metrics)
    assert tab.run("document.documentElement.scrollWidth") <= width
    if width == 1280:  # tables need no scrolling where there is room
        tables = "[...document.querySelectorAll('.scroll')].filter(s => s.clientWidth)"
        assert tab.run(f"{tables}.every(s => s.scrollWidth <= s.clientWidth)") is True
    assert tab.run("[...document.querySelectorAll('audio')].every(a => a.clientWidth > 200)")


def test_words_in_pictures_can_be_read_on_a_telephone(tab: Tab) -> None:
    metrics = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    tab.call("Emulation.setDeviceMetricsOverride", **metrics)
    heights = tab.run(
        "[...document.querySelectorAll('.chart text')].map(t => t.getBoundingClientRect().height)"
    )
    assert len(heights) > 30
    assert min(heights) >= 9


def test_labels_of_axes_do_not_run_into_each_other(tab: Tab) -> None:
    assert colliding_labels(tab) == 0
    assert cut_labels(tab) == []


def test_paper_gets_pictures_without_players(tab: Tab) -> None:
    tab.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    assert tab.run(shown.format("audio")) == 0
    assert tab.run(shown.format(".chart")) > 8
    assert tab.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    tab.call("Emulation.setEmulatedMedia", media="")


def test_assistive_technology_gets_a_name_for_everything(tab: Tab) -> None:
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = ("image", "table", "link", "audio", "article", "heading", "figure")
    nodes = [n for n in tree if not n.get("ignored") and role(n) in named]
    assert [role(node) for node in nodes if not node.get("name", {}).get("value")] == []
    roles = [role(node) for node in nodes]
    assert roles.count("audio") == tab.run("document.querySelectorAll('audio').length")
    assert roles.count("table") >= 6
    outline = tab.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert max(after - before for before, after in pairwise(outline)) == 1
