"""The page about sounds from noise in a real browser: it plays, it fits, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, complaints, opened, requests
from tests.evaluation.test_samples import heard, prepared, report, trained  # noqa: F401 (fixtures)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(report: Path) -> Path:  # noqa: F811
    return report / "index.html"


@pytest.fixture
def tab(browser: Tab, page: Path) -> Iterator[Tab]:
    yield from opened(browser, page)


def test_it_opens_and_plays_without_a_request_or_a_complaint(tab: Tab, page: Path) -> None:
    for number in range(2):
        tab.run(f"document.querySelectorAll('audio')[{number}].play().then(() => true)")
    assert complaints(tab) == []
    assert requests(tab) == [page.as_uri()]


def test_text_stays_text(tab: Tab) -> None:
    assert tab.run("document.title") == "<i>Tones</i>"
    assert tab.run("document.querySelectorAll('main img:not([src^=\"data:\"])').length") == 0


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_sticks_out_sideways(tab: Tab, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    tab.call("Emulation.setDeviceMetricsOverride", **metrics)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("[...document.querySelectorAll('audio')].every(a => a.clientWidth > 200)")


def test_spectra_are_drawn_with_a_key_for_each(tab: Tab) -> None:
    labels = "document.querySelectorAll('#spectrum polyline.series').length"
    names = "[...document.querySelectorAll('#spectrum text.label')].map(t => t.textContent)"
    assert tab.run(labels) == 3
    assert tab.run(names) == ["test split", "wavegan", "wavenet:unconditional"]
