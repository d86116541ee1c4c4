"""Listening tests in a real browser, from disk: done by mouse and by keys, and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Tab, complaints, opened, requests, role
from tests.support.listeners import made_test, systems_of
from tests.support.reports import HOSTILE
from wavewright.evaluation.listening.design import ListeningKey, TestKind
from wavewright.evaluation.listening.ratings import import_ratings
from wavewright.evaluation.listening.sessions import ListenerSession, read_sessions

pytestmark = pytest.mark.browser
Made = dict[TestKind, tuple[Path, ListeningKey]]
SECTION = "document.querySelector('section:not([hidden])')"
INSTANT = (
    "HTMLMediaElement.prototype.play = function () "
    "{ this.dispatchEvent(new Event('ended')); return Promise.resolve(); }, true"
)
BEST = {"natural": "5", "close-one": "4", "noisy-one": "3", "anchor": "1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    kinds: tuple[TestKind, ...] = ("mos", "ab", "abx")
    return {
        kind: made_test(tmp_path_factory.mktemp(kind), kind, utterances=3, seconds=0.3)
        for kind in kinds
    }


@pytest.fixture
def tab(browser: Tab, made: Made) -> Iterator[Tab]:
    for opened_tab in opened(browser, page_of(made, "mos")):
        opened_tab.run("localStorage.clear(), true")
        yield opened_tab


def page_of(made: Made, kind: TestKind) -> Path:
    return made[kind][0] / "listeners" / "index.html"


def open_as(tab: Tab, page: Path, listener: str, *, instant: bool = False) -> None:
    """Open the page for a listener with a given number; sounds may take no time."""
    tab.events.clear()
    tab.call("Page.navigate", url=f"{page.as_uri()}?listener={listener}")
    tab.wait(lambda: any(name == "Page.loadEventFired" for name, _ in tab.events))
    if instant:
        tab.run(INSTANT)


def click(tab: Tab, what: str) -> None:
    tab.run(f"{SECTION}.querySelector({json.dumps(what)}).click(), true")


def shown(tab: Tab) -> str:
    return str(tab.run(f"{SECTION}.id"))


def heading(tab: Tab) -> str:
    return str(tab.run(f"{SECTION}.querySelector('h2').textContent"))


def can(tab: Tab, what: str) -> bool:
    return bool(tab.run(f"!{SECTION}.querySelector({json.dumps(what)}).matches(':disabled')"))


def heard(tab: Tab) -> list[bool]:
    """Flags of the sounds of this page that were played to their ends."""
    texts = tab.run(f"[...{SECTION}.querySelectorAll('.heard')].map(e => e.textContent)")
    return [text.startswith("✓") for text in texts]


def hear(tab: Tab) -> None:
    for index, known in enumerate(heard(tab)):
        if not known:
            tab.run(f"{SECTION}.querySelectorAll('.play')[{index}].click(), true")
            tab.wait(lambda index=index: heard(tab)[index], seconds=10)  # type: ignore[misc]


def playing(tab: Tab) -> list[str]:
    """Drawn names of the sounds of this page."""
    sources = tab.run(f"[...{SECTION}.querySelectorAll('audio')].map(a => a.src)")
    return [source.rsplit("/", 1)[1].removesuffix(".wav") for source in sources]


def begin(tab: Tab) -> None:
    click(tab, "#begin")
    hear(tab)
    click(tab, "[value=headphones]")
    click(tab, "#volume-next")


def finish(tab: Tab, key: ListeningKey) -> dict[str, Any]:
    """Answer every trial as an attentive listener does; the result."""
    while shown(tab) == "trial":
        hear(tab)
        click(tab, f"[value='{right(key, playing(tab))}']")
        click(tab, "#next")
    return result(tab)


def right(key: ListeningKey, names: list[str]) -> str:
    systems = systems_of(key, tuple(names))
    if key.test.kind == "mos":
        return BEST[systems[0]]
    if key.test.kind == "ab":
        return "AB"[systems.index(max(systems, key=BEST.__getitem__))]
    return "AB"[systems[:2].index(systems[2])]


def result(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tab.run("document.getElementById('answers').value"))
    return found


def type_key(tab: Tab, key: str) -> None:
    codes = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " ")}
    code, text = codes[key] if key in codes else (ord(key.upper()), key)
    for kind in ("keyDown", "keyUp"):
        words = {"text": text} if kind == "keyDown" and text else {}
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **words)


def test_a_whole_mos_test_by_mouse(tab: Tab, made: Made, tmp_path: Path) -> None:
    folder, key = made["mos"]
    open_as(tab, page_of(made, "mos"), "anna")
    assert shown(tab) == "welcome"
    click(tab, "#begin")
    assert shown(tab) == "volume"
    click(tab, "[value=headphones]")
    assert not can(tab, "#volume-next")
    hear(tab)
    click(tab, "#volume-next")
    assert heading(tab) == "Practice"
    seen = []
    while shown(tab) == "trial":
        assert not can(tab, "[name=answer]")
        assert not can(tab, "#next")
        hear(tab)
        assert can(tab, "[name=answer]")
        assert not can(tab, "#next")
        seen += playing(tab)
        click(tab, f"[value='{right(key, playing(tab))}']")
        click(tab, "#next")
    assert len(seen) == len(key.test.trials) + 1
    assert complaints(tab) == []
    asked = requests(tab)
    inside = page_of(made, "mos").parent.as_uri()
    assert asked
    assert [address for address in asked if not address.startswith(inside)] == []
    tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(tab, "#download")
    file = tmp_path / "ratings-anna.json"
    tab.wait(file.is_file)
    assert json.loads(file.read_text()) == result(tab)
    (session,) = read_sessions(tmp_path, key)
    assert [answer.shown[0] for answer in session.answers] == seen[1:]
    found = import_ratings(tmp_path, folder / "key.json", tmp_path / "out")
    scores = {row.system: row.score.mean for row in found.scores}
    assert scores == {"natural": 5, "close-one": 4, "noisy-one": 3}
    assert found.devices == {"headphones": 1}


def test_a_whole_ab_test_by_keys(tab: Tab, made: Made, tmp_path: Path) -> None:
    folder, key = made["ab"]
    open_as(tab, page_of(made, "ab"), "ben")
    for pressed in ("Tab", "Enter"):
        type_key(tab, pressed)
    assert shown(tab) == "volume"
    type_key(tab, "p")
    tab.wait(lambda: all(heard(tab)))
    for pressed in ("Tab", "Tab", " ", "Enter"):
        type_key(tab, pressed)
    assert heading(tab) == "Practice"
    while shown(tab) == "trial":
        for index, letter in enumerate("ab"):
            type_key(tab, letter)
            tab.wait(lambda index=index: heard(tab)[index])  # type: ignore[misc]
        type_key(tab, {"A": "1", "none": "2", "B": "3"}[right(key, playing(tab))])
        type_key(tab, "Enter")
    assert complaints(tab) == []
    (tmp_path / "ben.json").write_text(json.dumps(result(tab)))
    found = import_ratings(tmp_path, folder / "key.json", tmp_path / "out")
    (row,) = found.preferences
    assert (row.a, row.for_a, row.neither, row.for_b) == ("close-one", 3, 0, 0)


def test_a_whole_abx_test(tab: Tab, made: Made, tmp_path: Path) -> None:
    folder, key = made["abx"]
    open_as(tab, page_of(made, "abx"), "carl", instant=True)
    begin(tab)
    (tmp_path / "carl.json").write_text(json.dumps(finish(tab, key)))
    found = import_ratings(tmp_path, folder / "key.json", tmp_path / "out")
    assert {row.system: row.right for row in found.discriminations} == {
        "close-one": 3,
        "noisy-one": 3,
    }


def test_every_listener_has_an_order_of_their_own(tab: Tab, made: Made) -> None:
    _, key = made["abx"]
    orders, firsts, groups = [], [], {trial.id: trial.group for trial in key.test.trials}
    for listener in ("l0", "l1", "l2", "l3", "l4", "l5", "l0"):
        open_as(tab, page_of(made, "abx"), listener, instant=True)
        begin(tab)
        session = ListenerSession.model_validate_json(json.dumps(finish(tab, key)))
        assert session.listener == listener
        orders.append([answer.trial for answer in session.answers])
        firsts.append(sorted((answer.trial, answer.shown[0]) for answer in session.answers))
    assert orders[0] == orders[-1]
    assert firsts[0] == firsts[-1]
    assert len({tuple(order) for order in orders}) == 6
    # Turned round or not, but all trials of a listener alike.
    assert len({tuple(first) for first in firsts}) == 2
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(groups))}


def test_no_sentence_comes_twice_in_a_row(tab: Tab, made: Made) -> None:
    _, key = made["mos"]
    groups = {trial.id: trial.group for trial in key.test.trials}
    for listener in ("l0", "l1", "l2"):
        open_as(tab, page_of(made, "mos"), listener, instant=True)
        begin(tab)
        heard_groups = [groups[answer["trial"]] for answer in finish(tab, key)["answers"]]
        repeated = [a for a, b in pairwise(heard_groups) if a == b]
        assert repeated == []


def test_a_listener_without_a_number_draws_one(tab: Tab, made: Made) -> None:
    numbers = set()
    for _ in range(2):
        tab.open(page_of(made, "ab"))
        tab.run(INSTANT)
        begin(tab)
        numbers.add(finish(tab, made["ab"][1])["listener"])
    assert len(numbers) == 2
    assert all(len(number) == 12 for number in numbers)


def test_one_goes_back_one_trial_and_may_answer_anew(tab: Tab, made: Made) -> None:
    open_as(tab, page_of(made, "mos"), "dora", instant=True)
    begin(tab)
    for answer in "54":
        hear(tab)
        click(tab, f"[value='{answer}']")
        click(tab, "#next")
    assert heading(tab).startswith("Trial 2")
    click(tab, "#back")
    assert heading(tab).startswith("Trial 1")
    assert tab.run(f"{SECTION}.querySelector('[value=\"4\"]').checked") is True
    assert not can(tab, "#back")
    click(tab, "[value='2']")
    click(tab, "#next")
    found = finish(tab, made["mos"][1])
    assert found["answers"][0]["answer"] == "2"


def test_a_closed_page_goes_on_where_it_stopped(tab: Tab, made: Made) -> None:
    open_as(tab, page_of(made, "mos"), "emil", instant=True)
    begin(tab)
    for _ in range(2):
        hear(tab)
        click(tab, "[value='3']")
        click(tab, "#next")
    before = playing(tab)
    tab.open(page_of(made, "mos"))
    tab.run(INSTANT)
    click(tab, "#resume")
    assert heading(tab).startswith("Trial 2")
    assert playing(tab) == before
    found = finish(tab, made["mos"][1])
    assert (found["listener"], found["answers"][0]["answer"]) == ("emil", "3")


def test_a_stopped_sound_was_not_heard(tab: Tab, made: Made) -> None:
    open_as(tab, page_of(made, "ab"), "fay", instant=True)
    begin(tab)
    tab.run("delete HTMLMediaElement.prototype.play, true")
    open_as(tab, page_of(made, "ab"), "fay")
    click(tab, "#resume")
    buttons = f"{SECTION}.querySelectorAll('.play')"
    # Play, stop, play, the other one: in one go, before any sound can end.
    tab.run(f"[0, 0, 0, 1].forEach(index => {buttons}[index].click()), true")
    tab.wait(lambda: heard(tab)[1])
    assert heard(tab) == [False, True]
    assert not can(tab, "[name=answer]")


def test_the_page_does_not_move_while_a_sound_plays(tab: Tab, made: Made) -> None:
    open_as(tab, page_of(made, "abx"), "hal", instant=True)
    begin(tab)
    height = f"{SECTION}.getBoundingClientRect().height"
    before = tab.run(height)
    tab.run(f"{SECTION}.querySelectorAll('.name').forEach(n => {{ n.textContent = 'Stop X' }})")
    assert tab.run(height) == before


def test_sounds_that_are_not_there_are_said(tab: Tab, made: Made, tmp_path: Path) -> None:
    alone = tmp_path / "index.html"
    alone.write_bytes(page_of(made, "mos").read_bytes())
    tab.open(alone)
    click(tab, "#begin")
    click(tab, ".play")
    tab.wait(lambda: "unpack" in tab.run("document.getElementById('volume-hint').textContent"))


def test_text_of_anybody_stays_text(tab: Tab, tmp_path: Path) -> None:
    folder, _ = made_test(tmp_path, "mos", utterances=1, title=HOSTILE, question=HOSTILE)
    tab.open(folder / "listeners" / "index.html")
    assert tab.run("document.title") == HOSTILE
    assert tab.run("document.querySelector('h1').textContent") == HOSTILE
    assert tab.run("document.querySelector('#question legend').textContent") == HOSTILE
    assert tab.run("document.querySelectorAll('script').length") == 2
    assert complaints(tab) == []


CONTRASTS = """
[...document.querySelectorAll('section:not([hidden]) *, h1')].filter(e => e.getClientRects().length
  && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let ground = e;
  while (ground && (numbers(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) {
    ground = ground.parentElement;
  }
  const light = (colour) => numbers(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const two = [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor].map(light);
  return [e.textContent.trim(), (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05)];
})
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_everywhere(tab: Tab, made: Made, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    open_as(tab, page_of(made, "abx"), "gus", instant=True)
    tab.call("Emulation.setEmulatedMedia", features=features)
    pages = set()

    def look() -> None:
        pages.add(shown(tab))
        for width in (320, 1100):
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            tab.call("Emulation.setDeviceMetricsOverride", **metrics)
            assert tab.run("document.documentElement.scrollWidth") <= width
        found = tab.run(CONTRASTS)
        assert len(found) > 3
        assert [one for one in found if one[1] < 4.5] == []
        assert nameless(tab) == []

    look()
    click(tab, "#begin")
    look()
    hear(tab)
    click(tab, "[value=headphones]")
    click(tab, "#volume-next")
    look()
    hear(tab)
    look()
    finish(tab, made["abx"][1])
    click(tab, "summary")
    look()
    assert pages == {"welcome", "volume", "trial", "finish"}


def nameless(tab: Tab) -> list[str]:
    """Roles of what assistive technology finds without a name."""
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = ("button", "radio", "textbox", "heading", "progressindicator")
    nodes = [n for n in tree if not n.get("ignored") and role(n) in named]
    assert len(nodes) > 2
    return [role(node) for node in nodes if not node.get("name", {}).get("value")]
