"""The report in a real browser, from disk: it plays, it switches, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.accessibility import barriers
from tests.browser.charts import colliding_labels, cut_labels
from tests.browser.chromium import Tab, complaints, opened, requests, role
from tests.support.reports import HOSTILE, HOSTILE_SPEAKER, large_results, small_report
from wavewright.evaluation.report.page import write_report

pytestmark = pytest.mark.browser
UTTERANCES, SECONDS = 6, 5.0
CONDITIONS, SYSTEMS = 2, 2
FAILED = 1
PLAYERS = UTTERANCES * (1 + CONDITIONS * SYSTEMS) - FAILED
ARTICLE = "document.querySelectorAll('article')[{}]"
CLIP = ARTICLE + '.querySelector(\'.clip[data-system="{}"][data-condition="{}"] audio\')'
RECORDING, COPY, OTHER, TTS = (
    CLIP.format(0, system, condition)
    for system, condition in ((0, ""), (1, "copy"), (2, "copy"), (1, "tts"))
)
DECODED = (
    "Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {"
    "audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(-1);"
    "audio.preload = 'auto'; audio.load();})))"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_report(tmp_path_factory.mktemp("page"), utterances=UTTERANCES, seconds=SECONDS)[0]


@pytest.fixture(scope="module")
def tight_page(tmp_path_factory: pytest.TempPathFactory, page: Path) -> Path:
    """Page with room for about half of the sounds."""
    megabytes = 0.5e-6 * page.stat().st_size
    folder = tmp_path_factory.mktemp("tight")
    return small_report(folder, utterances=UTTERANCES, seconds=SECONDS, max_megabytes=megabytes)[0]


@pytest.fixture
def tab(browser: Tab, page: Path) -> Iterator[Tab]:
    yield from opened(browser, page)


def pressed(tab: Tab, article: int = 0) -> list[str]:
    """Labels of the pressed buttons of an utterance: system, condition."""
    return list(
        tab.run(
            f"[...{ARTICLE.format(article)}.querySelectorAll('[aria-pressed=true]')]"
            ".map(button => button.textContent.replace(/^\\s*\\d\\s*/, '').trim())"
        )
    )


def use(tab: Tab, article: int = 0) -> None:
    """Put an utterance into focus."""
    tab.run(f"{ARTICLE.format(article)}.focus(), true")


def playing(tab: Tab) -> list[str]:
    """Names of the players that sound."""
    found = "[...document.querySelectorAll('audio')].filter(a => !a.paused).map(a => a.ariaLabel)"
    return list(tab.run(found))


# It opens


def test_it_opens_without_a_request_or_a_complaint(tab: Tab, page: Path) -> None:
    for number in range(3):
        tab.run(f"document.querySelectorAll('audio')[{number}].play().then(() => true)")
    tab.click("article .play")
    tab.press("2")
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
    lengths = tab.run(DECODED)
    assert len(lengths) == PLAYERS
    assert all(0.89 * SECONDS < length < 1.01 * SECONDS for length in lengths)


def test_sounds_beside_the_page_play_from_disk(browser: Tab, tight_page: Path) -> None:
    browser.open(tight_page)
    beside = browser.run("document.querySelectorAll('audio:not([src^=\"data:\"])').length")
    assert 0 < beside < PLAYERS
    assert all(length > 0.89 * SECONDS for length in browser.run(DECODED))
    asked = [address for address in requests(browser) if address != tight_page.as_uri()]
    assert len(set(asked)) == beside
    assert all(address.startswith(f"{tight_page.parent.as_uri()}/wavs/") for address in asked)
    assert complaints(browser) == []


# It plays


@pytest.mark.parametrize(("key", "other", "share"), [("2", OTHER, 1.0), ("c", TTS, 0.9)])
def test_switching_goes_on_at_the_same_moment(tab: Tab, key: str, other: str, share: float) -> None:
    """Within 50 ms; at the same share of the sentence where the timing is another."""
    use(tab)
    tab.press("1")
    tab.press(" ")
    tab.wait(lambda: tab.run(f"{COPY}.currentTime") > 0.5)
    tab.run(f"window.began = -1, {other}.onplaying = e => began = e.target.currentTime")
    tab.press(key)
    tab.wait(lambda: tab.run("began") >= 0)
    assert tab.run(f"{COPY}.paused") is True
    assert tab.run("began") == pytest.approx(share * tab.run(f"{COPY}.currentTime"), abs=0.05)
    assert len(playing(tab)) == 1


def test_keys_choose_systems_and_the_recording(tab: Tab) -> None:
    use(tab)
    tab.press("1")
    assert pressed(tab) == ["griffinlim", "Copy-synthesis"]
    tab.press("2")
    assert pressed(tab) == ["toy:v1", "Copy-synthesis"]
    tab.press("c")
    assert pressed(tab) == ["toy:v1", "Free-running TTS"]
    tab.press("0")
    assert pressed(tab)[0] == "Recording"
    tab.press("9")  # there is no ninth system
    assert pressed(tab)[0] == "Recording"


def test_space_plays_and_pauses(tab: Tab) -> None:
    use(tab)
    tab.press("0")
    tab.press(" ")
    tab.wait(lambda: playing(tab) != [])
    assert playing(tab)[0].endswith("the recording")
    tab.wait(lambda: tab.run("document.querySelector('.play').textContent") == "Pause")
    tab.press(" ")
    tab.wait(lambda: playing(tab) == [])
    tab.wait(lambda: tab.run("document.querySelector('.play').textContent") == "Play")


def test_arrows_go_to_the_next_utterance_and_keep_the_choice(tab: Tab) -> None:
    use(tab)
    tab.press("2")
    tab.press("ArrowRight")
    focused = "[...document.querySelectorAll('article')].indexOf(document.activeElement)"
    assert tab.run(focused) == 1
    assert pressed(tab, 1) == ["toy:v1", "Copy-synthesis"]
    tab.press("ArrowLeft")
    assert tab.run(focused) == 0


def test_keys_can_be_switched_off(tab: Tab) -> None:
    tab.click("#keys")
    use(tab)
    before = pressed(tab)
    tab.press("0")
    tab.press(" ")
    assert pressed(tab) == before
    assert playing(tab) == []


def test_typing_into_a_filter_is_no_command(tab: Tab) -> None:
    tab.run("document.querySelector('#numbers details').open = true")
    before = pressed(tab)
    tab.click("#values-filters input")
    for key in "0 c":
        tab.press(key)
    assert tab.run("document.querySelector('#values-filters input').value") == "0 c"
    assert pressed(tab) == before


def test_buttons_do_what_keys_do(tab: Tab) -> None:
    tab.click("article button[value='2']")
    tab.click("article .play")
    tab.wait(lambda: playing(tab) != [])
    assert pressed(tab)[0] == "toy:v1"
    tab.click("article button[value='tts']")
    tab.wait(lambda: [name.endswith("free-running TTS") for name in playing(tab)] == [True])


def test_the_slider_moves_the_sound(tab: Tab) -> None:
    tab.click("article button[value='0']")
    tab.run(f"{RECORDING}.preload = 'auto', true")
    tab.wait(lambda: tab.run(f"{RECORDING}.readyState") > 0)
    tab.click("article .position")
    tab.wait(lambda: tab.run(f"{RECORDING}.currentTime") > 0)
    assert tab.run(f"{RECORDING}.currentTime") == pytest.approx(SECONDS / 2, abs=0.1)
    said = tab.run("document.querySelector('.position').ariaValueText")
    assert said == f"{SECONDS / 2:.1f} of {SECONDS:.1f} s"


def test_the_stage_shows_recording_system_difference_and_pitch(tab: Tab) -> None:
    tab.click("article button[value='1']")
    kinds = "[...document.querySelectorAll('article .stage')[0].querySelectorAll('img, svg')]"
    shown = tab.run(f"{kinds}.map(one => one.getAttribute('class'))")
    assert shown[:3] == ["mel", "mel", "difference"]
    tab.click("article button[value='tts']")
    assert "difference" not in tab.run(f"{kinds}.map(one => one.getAttribute('class'))")
    tab.click("article button[value='0']")
    assert tab.run(f"{kinds}.filter(one => one.matches('.mel')).length") == 1


def test_a_system_that_failed_cannot_be_chosen(tab: Tab) -> None:
    names = tab.run("[...document.querySelectorAll('article h3')].map(h => h.textContent.trim())")
    place = next(index for index, name in enumerate(names) if name.startswith("made-002"))
    use(tab, place)
    tab.press("1")
    if pressed(tab, place)[1] == "Copy-synthesis":
        tab.press("c")
    button = f"{ARTICLE.format(place)}.querySelector('button[value=\"2\"]')"
    assert tab.run(f"{button}.disabled") is True
    tab.press("2")
    assert pressed(tab, place) == ["griffinlim", "Free-running TTS"]


def test_plain_players_still_work_and_only_one_sounds(tab: Tab) -> None:
    tab.run(f"{RECORDING}.play().then(() => true)")
    tab.run(f"{CLIP.format(1, 1, 'copy')}.play().then(() => true)")
    tab.wait(lambda: len(playing(tab)) == 1)
    assert tab.run("document.querySelectorAll('.clip.playing').length") == 1


# Its tables


def column(tab: Tab, number: int) -> list[str]:
    """Texts of a column of the table of every value, as far as it is shown."""
    rows = "[...document.querySelectorAll('#values tbody tr:not([hidden])')]"
    return list(tab.run(f"{rows}.map(row => row.cells[{number}].textContent)"))


def sorting(tab: Tab) -> list[str | None]:
    """`aria-sort` of every head."""
    heads = "[...document.querySelectorAll('#values thead th')]"
    return list(tab.run(f"{heads}.map(head => head.getAttribute('aria-sort'))"))


def test_tables_sort_by_mouse_and_by_keyboard(tab: Tab) -> None:
    tab.run("document.querySelector('#numbers details').open = true")
    worst = [float(text.replace("\u2212", "-")) for text in column(tab, 4) if text]
    assert worst == sorted(worst, reverse=True)
    assert sorting(tab)[4] == "descending"
    assert len(column(tab, 5)) == UTTERANCES * CONDITIONS * SYSTEMS - FAILED
    tab.click("#values thead th:nth-child(6) button")  # mel L1, which TTS has not
    texts = column(tab, 5)
    values = [float(text) for text in texts if text]
    assert values == sorted(values)
    assert texts == [text for text in texts if text] + [""] * (len(texts) - len(values))
    assert [one for one in sorting(tab) if one] == ["ascending"] == [sorting(tab)[5]]
    tab.run("document.querySelector('#values thead th:nth-child(6) button').focus(), true")
    tab.press("Enter")
    assert sorting(tab)[5] == "descending"
    assert [float(text) for text in column(tab, 5) if text] == sorted(values, reverse=True)
    status = tab.run("document.querySelector('#values-status').textContent")
    assert status.endswith("sorted by mel\u00a0L1, descending")


def test_filters_work_together_and_are_counted(tab: Tab) -> None:
    tab.run("document.querySelector('#numbers details').open = true")
    choose = (
        "(() => {{ const one = document.querySelector('#values-filters [name={}]');"
        "one.value = '{}'; one.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )
    tab.run(choose.format("system", 2))
    assert set(column(tab, 1)) == {"toy:v1"}
    tab.run(choose.format("condition", "copy"))
    assert set(column(tab, 2)) == {"Copy-synthesis"}
    hidden = "[...document.querySelectorAll('#values thead th[hidden]')].map(h => h.textContent)"
    assert "mel\u00a0L1 (DTW)" in tab.run(hidden)
    tab.run(choose.format("text", "NUMBER 3"))  # of the words that are said
    assert column(tab, 0) == ["made-003"]
    counted = tab.run("document.querySelector('#values-status').textContent")
    assert counted == f"1 of {UTTERANCES * CONDITIONS * SYSTEMS - FAILED} rows"
    tab.run(choose.format("text", "nothing like this"))
    assert column(tab, 0) == []
    for name in ("text", "system", "condition"):
        tab.run(choose.format(name, ""))
    tab.run(choose.format("speaker", 1))
    assert set(column(tab, 3)) == {HOSTILE_SPEAKER}


def test_a_large_table_sorts_and_filters_at_once(browser: Tab, tmp_path: Path) -> None:
    """Fifty utterances, five systems, three conditions and fifteen metrics."""
    page = write_report(tmp_path, large_results(), None, max_players=0)
    browser.open(page)
    browser.run("document.querySelector('#numbers details').open = true")
    assert browser.run("document.querySelectorAll('#values tbody tr').length") == 750
    timed = (
        "(() => {{ const start = performance.now(); {}; document.body.offsetHeight;"
        "return performance.now() - start; }})()"
    )
    head = "document.querySelector('#values thead th:nth-child(7) button').click()"
    assert browser.run(timed.format(head)) < 1500
    words = (
        "document.querySelector('#values-filters input').value = 'u7';"
        "document.querySelector('#values-filters input')"
        ".dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert browser.run(timed.format(words)) < 1500
    assert complaints(browser) == []


# It is for everybody


def test_text_stays_text(tab: Tab) -> None:
    assert tab.run("document.title") == "Two <b>toys</b> & a baseline"
    scripts = tab.run("[...document.scripts].map(script => script.type)")
    assert scripts == ["application/json", ""]
    quotes = tab.run("[...document.querySelectorAll('blockquote')].map(q => q.textContent)")
    assert HOSTILE in quotes
    held = tab.run("JSON.parse(document.getElementById('data').textContent).utterances")
    assert HOSTILE in [utterance["text"] for utterance in held]


def test_it_works_without_scripts(browser: Tab, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        document = browser.call("DOM.getDocument")["root"]["nodeId"]
        found = {
            what: len(
                browser.call("DOM.querySelectorAll", nodeId=document, selector=what)["nodeIds"]
            )
            for what in ("audio[controls]", "table", "html.script", "details.clips[open]")
        }
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        transport = browser.call("DOM.querySelector", nodeId=document, selector=".transport")
        with pytest.raises(RuntimeError, match="box model"):  # it is not drawn
            browser.call("DOM.getBoxModel", nodeId=transport["nodeId"])
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert found["audio[controls]"] == PLAYERS
    assert found["table"] > 3
    assert found["details.clips[open]"] == UTTERANCES
    assert found["html.script"] == 0
    roles = [role(node) for node in tree if not node.get("ignored")]
    assert roles.count("audio") == PLAYERS


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
        wide = (
            "[...document.querySelectorAll('.scroll:not(.tall)')]"
            ".filter(s => s.scrollWidth > s.clientWidth)"
        )
        assert tab.run(f"{wide}.map(s => s.ariaLabel)") == []
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("[...document.querySelectorAll('audio')].every(a => a.clientWidth > 200)")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)], ids=str
)
def test_axe_finds_no_serious_barrier(tab: Tab, scheme: str, width: int) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    tab.call("Emulation.setEmulatedMedia", features=features)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    tab.call("Emulation.setDeviceMetricsOverride", **metrics)
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert barriers(tab) == []


def test_axe_would_find_a_barrier(tab: Tab) -> None:
    """The check above can fail."""
    tab.run("document.querySelector('article audio').parentElement.append(new Image()), true")
    tab.run("document.querySelector('.position').removeAttribute('aria-label'), true")
    assert [found.partition(",")[0] for found in barriers(tab)] != []


def test_labels_of_charts_do_not_run_into_each_other(tab: Tab) -> None:
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert colliding_labels(tab) == 0
    assert cut_labels(tab) == []


def test_paper_gets_tables_and_pictures_without_players(tab: Tab) -> None:
    tab.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).length"
    assert tab.run(shown.format("audio, button, input, select")) == 0
    assert tab.run(shown.format(".stage .mel")) >= UTTERANCES
    assert tab.run(shown.format("table")) > 3
    tab.call("Emulation.setEmulatedMedia", media="")


def test_assistive_technology_gets_a_name_for_everything(tab: Tab) -> None:
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = (
        "image",
        "table",
        "link",
        "checkbox",
        "audio",
        "article",
        "heading",
        "button",
        "slider",
    )
    nodes = [n for n in tree if not n.get("ignored") and role(n) in named]
    assert [role(node) for node in nodes if not node.get("name", {}).get("value")] == []
    roles = [role(node) for node in nodes]
    assert roles.count("audio") == PLAYERS
    assert roles.count("article") == UTTERANCES
    assert roles.count("table") >= 3
    outline = tab.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    jumps = [after - before for before, after in pairwise(outline)]
    assert max(jumps) == 1
