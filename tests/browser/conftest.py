"""The browser that the tests of this folder drive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Tab, find_chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A headless Chromium with one tab; skips where there is none."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with Tab(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab
