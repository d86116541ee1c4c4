"""Results as JSON inside the page, for programs and consoles that have only the page."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from wavewright.evaluation.results import Results

MAX_BYTES = 2_000_000
_DROPPED_FIRST = ("values", "differences", "summary")  # where there is no room, in this order


def embed_results(results: Results, max_bytes: int = MAX_BYTES) -> tuple[Markup, list[str]]:
    """JSON for a script element, and the names of the parts that were too large for it.

    `<` is written as its code, so that no text can end the element.
    """
    data: dict[str, Any] = results.model_dump(mode="json")
    dropped: list[str] = []
    text = _script_json(data)
    for part in _DROPPED_FIRST:
        if len(text) > max_bytes:
            del data[part]
            dropped.append(part)
            text = _script_json(data)
    return Markup(text), dropped


def _script_json(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
