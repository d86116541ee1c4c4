"""Strict YAML 1.2: plain data only, with the line of each field.

Without tags no file can build an object, without anchors none can explode; `1e-4` is a number and
a duplicate key an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from wavewright.errors import WavewrightError


def parse_yaml(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Parse YAML into plain data and the line of every dotted field."""
    yaml = YAML(typ="safe", pure=True)
    try:
        special = [e for e in yaml.parse(text) if getattr(e, "anchor", 0) or getattr(e, "tag", 0)]
        if not special:
            node, data = yaml.compose(text), yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else path
        raise WavewrightError(f"{place}: not valid YAML: {error.problem}") from error
    except (YAMLError, RecursionError, ValueError) as error:  # ValueError: an impossible date
        reason = " ".join(str(error).split())
        raise WavewrightError(f"{path}: not valid YAML: {reason}") from error
    if special:
        line = special[0].start_mark.line + 1
        raise WavewrightError(f"{path}:{line}: YAML tags, anchors and aliases are not allowed")
    if not isinstance(data, dict):
        raise WavewrightError(f"{path}: a recipe must map fields to values")
    return data, dict(_lines(node, ""))


def parse_assignment(change: str) -> tuple[list[str], Any]:
    """Parse `FIELD=VALUE` of the command line into dotted field and value."""
    dotted, equals, value = change.partition("=")
    if not equals or not dotted.strip():
        raise WavewrightError(f"--set {change}: expected FIELD=VALUE, such as train.max_steps=1000")
    try:
        return dotted.strip().split("."), YAML(typ="safe", pure=True).load(value)
    except (YAMLError, RecursionError, ValueError) as error:
        raise WavewrightError(f"--set {change}: the value is not valid YAML") from error


def _lines(node: Node, prefix: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        yield dotted, key.start_mark.line + 1
        yield from _lines(value, dotted + ".")
