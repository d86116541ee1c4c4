"""Tables of the report in a real browser, and its accessibility."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.accessibility import barriers
from tests.browser.charts import colliding_labels, cut_labels
from tests.browser.chromium import Tab, complaints, role
from tests.browser.report_page import CONDITIONS, FAILED, PLAYERS, SYSTEMS, UTTERANCES
from tests.support.reports import HOSTILE, HOSTILE_SPEAKER, large_results
from wavewright.evaluation.report.page import write_report

pytestmark = pytest.mark.browser


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
    ("scheme", "width"),
    [pytest.param("light", 1280, marks=pytest.mark.long), ("dark", 1280), ("light", 390)],
    ids=str,
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
    assert [found.partition(",")[0] for found in barriers(tab, "article")] != []


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
