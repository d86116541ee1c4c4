"""Changes between two nested mappings, for explanations of why a stage runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested mappings."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from flatten(inner, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value


def format_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Format every changed value: `librosa 0.11 -> 0.12`."""
    return [
        f"{name} {_brief(before.get(name))} -> {_brief(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _brief(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
