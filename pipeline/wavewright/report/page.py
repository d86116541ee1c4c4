"""From a template to one HTML file that opens from disk and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

_HERE = Path(__file__).parent
_STEERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_MARKS = "\u200e\u200f\u061c"
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
_TOGETHER = re.compile(r"\[[\d., -]+\]|≤ [\d.]+ kHz|n = \d+|95 %|mel L1|\d+ %")


def render(
    template: str,
    page: Mapping[str, Any],
    *,
    styles: Sequence[str] = ("style.css",),
    scripts: Sequence[str] = ("script.js",),
    beside: bool = False,
) -> str:
    """The page that a template of this folder makes of these values.

    Whatever is not `Markup` is escaped; a name that the template uses and `page` lacks is an error.

    Args:
        template: file of this folder.
        page: values.
        styles, scripts: files of this folder that make the page's one style and one script.
        beside: it plays sounds that lie beside it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(unbroken=_unbroken, visible=visible)
    style, script = (
        "".join((_HERE / name).read_text("utf-8") for name in names) for names in (styles, scripts)
    )
    return environment.get_template(template).render(
        **page, style=Markup(style), script=Markup(script), policy=_policy(style, script, beside)
    )


def count(number: int, thing: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def visible(text: str, longest: int = 400) -> str:
    """Text of anybody's making, so that it can be seen and does nothing to the text around it.

    Control characters and what steers the direction of writing become their code points, as in
    [U+001B]; what is longer than `longest` characters is cut.
    """
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(map(_seen, cut))


def _seen(character: str) -> str:
    steers = unicodedata.bidirectional(character) in _STEERING or character in _MARKS
    if steers or unicodedata.category(character) in _UNSEEN:
        return f"[U+{ord(character):04X}]"
    return character


def _unbroken(text: str) -> str:
    """Keep intervals, thresholds and counts on one line."""
    return _TOGETHER.sub(lambda found: found.group().replace(" ", "\u00a0"), text)


def _policy(style: str, script: str, beside: bool) -> str:
    """Content security policy: embedded media and exactly our style and script, no network.

    Sounds `beside` the page come from its own folder, which has no origin when opened from disk.
    """
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    media = "data: 'self' file:" if beside else "data:"
    return (
        f"default-src 'none'; img-src data:; media-src {media}; base-uri 'none'; "
        "form-action 'none'; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )
