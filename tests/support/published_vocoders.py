"""Table of our vocoders, from their classes: `pipeline/wavewright/vocoders/published.json`.

python -m tests.support.published_vocoders
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import Any

from wavewright.registry import _PUBLISHED, FIRST_PARTY, find


def describe(name: str) -> dict[str, Any]:
    """Row of one vocoder; title and source stand in its module's docstring."""
    system = find("vocoders", name)
    about = " ".join((sys.modules[system.__module__].__doc__ or "").split())
    first = re.match(r"([^(:]+?)(?: \(([^()]*)\))?:", about)
    assert first, f"{name}: the module's docstring must begin with 'Title (authors year, arXiv):'"
    source = first[2] or about.rpartition("Source: ")[2].partition(";")[0]
    variants = [asdict(variant) for variant in system.describe_variants(name)]
    return {"title": first[1], "source": source, "variants": variants}


def table() -> dict[str, Any]:
    """All rows by registry name."""
    return {name: describe(name) for name in FIRST_PARTY["vocoders"]}


if __name__ == "__main__":
    _PUBLISHED.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
