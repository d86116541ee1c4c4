"""Rendering of a template to one HTML file that opens from disk and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = Path(__file__).parent / "assets"
"""Folder of the template, style and scripts that all pages share."""
_BIDIRECTIONAL = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_MARKS = "\u200e\u200f\u061c"
_INVISIBLE = ("Cc", "Cs", "Zl", "Zp")
_UNBROKEN = re.compile(r"\[[\d., -]+\]|≤ [\d.]+ kHz|n = \d+|95 %|mel L1|\d+ %")


def render_page(
    template: str,
    page: Mapping[str, Any],
    *,
    folder: Path = ASSETS,
    style: Sequence[str] = ("style.css",),
    script: Sequence[str] = ("script.js",),
    media: str = "data:",
) -> str:
    """Render a template to a page.

    Values other than `Markup` are escaped; a name that the template uses and `page` lacks is an
    error.

    Args:
        template: file name in `folder`; it may extend the templates of `ASSETS`.
        page: values of the template.
        folder: holds the page's own files; others are read from `ASSETS`.
        style, script: files that together are the page's only style and script.
        media: sources that the content security policy allows for sounds.
    """
    css, code = (
        "".join(_asset(name, folder).read_text("utf-8") for name in names)
        for names in (style, script)
    )
    return (
        _environment(folder)
        .get_template(template)
        .render(**page, style=Markup(css), script=Markup(code), policy=_policy(css, code, media))
    )


@cache
def _environment(folder: Path) -> Environment:
    """Template environment of a page's folder, which keeps the compiled templates."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, ASSETS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(unbroken=_unbroken, printable=printable)
    return environment


def _asset(name: str, folder: Path) -> Path:
    """Path of a page's own file, or of the shared one."""
    return folder / name if (folder / name).exists() else ASSETS / name


def format_count(number: int, thing: str) -> str:
    """Format a number with its noun: `1 thread`, `2 threads`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def printable(text: str, longest: int = 400) -> str:
    """Make foreign text printable, and harmless to the text around it.

    Control characters and marks of writing direction become their code points, as in [U+001B];
    text longer than `longest` characters is cut.
    """
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(map(_printable_character, cut))


def _printable_character(character: str) -> str:
    steers = unicodedata.bidirectional(character) in _BIDIRECTIONAL or character in _MARKS
    if steers or unicodedata.category(character) in _INVISIBLE:
        return f"[U+{ord(character):04X}]"
    return character


def _unbroken(text: str) -> str:
    """Keep intervals, thresholds and counts on one line."""
    return _UNBROKEN.sub(lambda match: match.group().replace(" ", "\u00a0"), text)


def _policy(style: str, script: str, media: str) -> str:
    """Content security policy: sounds from `media`, exactly our style and script, no network."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; img-src data:; media-src {media}; base-uri 'none'; "
        "form-action 'none'; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )
