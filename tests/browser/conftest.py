"""Headless browser, and the report that it opens unless a module has its own `page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, find_chromium, opened
from tests.browser.report_page import SECONDS, UTTERANCES
from tests.support.reports import small_report


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """Headless Chromium with one tab; skips where it is not installed."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with Tab(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of made-up speech."""
    return small_report(tmp_path_factory.mktemp("page"), utterances=UTTERANCES, seconds=SECONDS)[0]


@pytest.fixture
def tab(browser: Tab, page: Path) -> Iterator[Tab]:
    """Tab that shows the report."""
    yield from opened(browser, page)
