"""Look for barriers in a page with axe-core, which the package axe-core-python carries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser.chromium import Tab

_CARRIERS = ("axe_core_python", "axe_playwright_python")


def barriers(tab: Tab, part: str = "html") -> list[str]:
    """What axe-core calls serious or critical on a page: rule, how often, first element.

    Skips where no package with axe-core is installed.

    Args:
        tab: shows the page.
        part: CSS selector of the part to look at; the rest is left out.
    """
    tab.run(f"{_axe().read_text('utf-8')}; true")
    options = "{resultTypes: ['violations']}"
    found = tab.run(f"axe.run({part!r}, {options}).then(found => found.violations)")
    return [
        f"{one['id']}, {len(one['nodes'])} times: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def _axe() -> Path:
    for name in _CARRIERS:
        spec = find_spec(name)
        if spec and spec.origin:
            file = Path(spec.origin).parent / "axe.min.js"
            if file.is_file():
                return file
    pytest.skip("axe-core is missing: pip install axe-core-python")
