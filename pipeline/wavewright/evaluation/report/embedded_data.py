"""The numbers inside the page, for programs and consoles that have only the page."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from wavewright.evaluation.results import Results

MOST = 2_000_000  # bytes
_PARTS = ("values", "differences", "summary")  # left out in this order where there is no room


def embedded(results: Results, most: int = MOST) -> tuple[Markup, list[str]]:
    """JSON for a script element, and the names of the parts that were too large for it.

    `<` is written as its code, so that no text can end the element.
    """
    kept: dict[str, Any] = results.model_dump(mode="json")
    missing: list[str] = []
    text = _text(kept)
    for part in _PARTS:
        if len(text) > most:
            del kept[part]
            missing.append(part)
            text = _text(kept)
    return Markup(text), missing


def _text(kept: dict[str, Any]) -> str:
    text = json.dumps(kept, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
