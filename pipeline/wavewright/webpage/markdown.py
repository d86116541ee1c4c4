"""Escaping of foreign text for Markdown."""

from __future__ import annotations

import re

from wavewright.webpage.render import visible

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_MARKS = re.compile(r"([\\`*_\[\]|#~])")


def plain(text: str) -> str:
    """Text of anybody's making that stays text in Markdown, in a table too."""
    shown = _TAG.sub("&lt;", visible(text, 2000).replace("&", "&amp;"))
    return _MARKS.sub(r"\\\1", shown)
