"""The report in a real browser, from disk: it plays, it switches, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, complaints, opened, requests, role
from tests.reports import HOSTILE, small_report

pytestmark = pytest.mark.browser
UTTERANCES, SECONDS = 3, 5.0
PLAYERS = UTTERANCES * 5 - 1  # the recording and two systems under two conditions; one failed
PLAYER = "document.querySelectorAll('article')[{}].querySelectorAll('audio')[{}]"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_report(tmp_path_factory.mktemp("page"), utterances=UTTERANCES, seconds=SECONDS)[0]


@pytest.fixture
def tab(browser: Tab, page: Path) -> Iterator[Tab]:
    yield from opened(browser, page)


def test_it_opens_without_a_request_or_a_complaint(tab: Tab, page: Path) -> None:
    for number in range(3):
        tab.run(f"{PLAYER.format(0, number)}.play().then(() => true)")
    assert complaints(tab) == []
    assert requests(tab) == [page.as_uri()]


def test_its_policy_stops_a_request(tab: Tab, page: Path) -> None:
    """The check above can fail: an image from elsewhere is refused and complained about."""
    script = "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))"
    tab.run(f"{script}, true")
    tab.wait(lambda: len(complaints(tab)) > 0)
    assert "Content Security Policy" in str(complaints(tab))
    assert not any("example.org" in address for address in requests(tab)[:1])


def test_every_player_can_be_decoded(tab: Tab) -> None:
    lengths = tab.run(
        "Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {"
        "audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(-1);"
        "audio.preload = 'auto'; audio.load();})))"
    )
    assert len(lengths) == PLAYERS
    assert all(0.89 * SECONDS < length < 1.01 * SECONDS for length in lengths)


def test_switching_keeps_the_position_and_stops_the_other(tab: Tab) -> None:
    first, second = PLAYER.format(0, 0), PLAYER.format(0, 1)
    tab.run(f"window.began = -1, {second}.onplaying = e => began = e.target.currentTime")
    tab.run(f"{first}.play().then(() => true)")
    tab.wait(lambda: tab.run(f"{first}.currentTime") > 0.5)
    tab.press("1")
    tab.wait(lambda: tab.run("began") >= 0)
    assert tab.run(f"{first}.paused") is True
    assert tab.run("began") == pytest.approx(tab.run(f"{first}.currentTime"), abs=0.1)
    assert tab.run("document.querySelectorAll('.clip.playing').length") == 1


def test_switching_starts_over_where_the_reader_wants_that(tab: Tab) -> None:
    tab.run("document.getElementById('keep').click()")
    tab.run(f"{PLAYER.format(0, 0)}.play().then(() => true)")
    tab.wait(lambda: tab.run(f"{PLAYER.format(0, 0)}.currentTime") > 0.5)
    tab.run(f"window.began = -1, {PLAYER.format(0, 1)}.onplay = e => began = e.target.currentTime")
    tab.press("1")
    tab.wait(lambda: tab.run("began") >= 0)
    assert tab.run("began") < 0.3


def test_another_utterance_starts_at_its_beginning(tab: Tab) -> None:
    first, other = PLAYER.format(0, 0), PLAYER.format(1, 0)
    tab.run(f"{first}.play().then(() => true)")
    tab.wait(lambda: tab.run(f"{first}.currentTime") > 0.5)
    tab.run(f"window.began = -1, {other}.onplaying = e => began = e.target.currentTime")
    tab.run(f"{other}.play().then(() => true)")
    tab.wait(lambda: tab.run("began") >= 0)
    assert tab.run("began") < 0.3
    assert tab.run(f"{first}.paused") is True


def test_text_stays_text(tab: Tab) -> None:
    assert tab.run("document.title") == "Two <b>toys</b> & a baseline"
    assert tab.run("document.querySelectorAll('script').length") == 1
    quotes = tab.run("[...document.querySelectorAll('blockquote')].map(q => q.textContent)")
    assert HOSTILE in quotes


def test_it_works_without_scripts(browser: Tab, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        document = browser.call("DOM.getDocument")["root"]["nodeId"]
        found = {
            what: len(
                browser.call("DOM.querySelectorAll", nodeId=document, selector=what)["nodeIds"]
            )
            for what in ("audio[controls]", "table", "html.script", "details")
        }
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert found["audio[controls]"] == PLAYERS
    assert found["table"] > 3
    assert found["details"] == 2
    assert found["html.script"] == 0


def test_it_follows_the_readers_light_or_dark(tab: Tab) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        tab.call("Emulation.setEmulatedMedia", features=features)
        colour = tab.run("getComputedStyle(document.body).backgroundColor")
        grounds[scheme] = sum(int(part) for part in colour[4:-1].split(","))
    assert grounds["light"] > 600
    assert grounds["dark"] < 120


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_sideways(tab: Tab, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    tab.call("Emulation.setDeviceMetricsOverride", **metrics)
    assert tab.run("document.documentElement.scrollWidth") <= width
    if width == 1280:  # tables need no scrolling where there is room
        tables = (
            "[...document.querySelectorAll('.scroll')].every(s => s.scrollWidth <= s.clientWidth)"
        )
        assert tab.run(tables) is True
    seen = tab.run("[...document.querySelectorAll('audio')].every(a => a.clientWidth > 200)")
    assert seen is True


def test_assistive_technology_gets_a_name_for_everything(tab: Tab) -> None:
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = ("image", "table", "link", "checkbox", "audio", "article", "heading")
    nodes = [n for n in tree if not n.get("ignored") and role(n) in named]
    assert [role(node) for node in nodes if not node.get("name", {}).get("value")] == []
    roles = [role(node) for node in nodes]
    assert roles.count("audio") == PLAYERS
    assert roles.count("article") == UTTERANCES
    assert roles.count("table") >= 3
    outline = tab.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    jumps = [after - before for before, after in pairwise(outline)]
    assert max(jumps) == 1
