"""Scripts that run in a client's environment: work that a test requests, answers in arrays.

python -m tests.clients.inside.NAME given.json answer.npz
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_DOCS = Path(__file__).resolve().parents[3] / "docs" / "interop.md"


def answer(work: Callable[..., dict[str, Any]]) -> None:
    """Do the work with what the first file says; arrays and texts go into the second."""
    given, out = Path(sys.argv[1]), Path(sys.argv[2])
    np.savez(out, **work(**json.loads(given.read_text("utf-8"))))


def run_snippet(heading: str, **names: Any) -> dict[str, Any]:
    """Run the Python of a section of docs/interop.md; returns its names."""
    section = _DOCS.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert code is not None, heading
    exec(compile(code[1], f"docs/interop.md, {heading}", "exec"), names)
    return names


def refusal(call: Callable[[], Any]) -> str:
    """Wavewright's error; empty if there is none."""
    from wavewright.errors import WavewrightError

    try:
        call()
    except WavewrightError as error:
        return str(error)
    return ""
