"""Escaping of foreign text for Markdown."""

from __future__ import annotations

import re

from wavewright.webpage.render import printable

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_MARKS = re.compile(r"([\\`*_\[\]|#~])")


def escape_markdown(text: str) -> str:
    """Escape foreign text for Markdown, tables included."""
    safe_text = _TAG.sub("&lt;", printable(text, 2000).replace("&", "&amp;"))
    return _MARKS.sub(r"\\\1", safe_text)
