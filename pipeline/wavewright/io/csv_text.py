"""CSV text whose cells no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"[=+@\t\n]|-(?![A-Za-z0-9_.-]*$)")  # an id or a number may begin with "-"


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as CSV with LF line ends.

    Text that a spreadsheet would compute gets an apostrophe in front: the
    sign by which spreadsheets themselves tell text from formulas. Ids, speakers and messages come
    from corpora of other people.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    value = re.sub("\r\n?", "\n", value)  # the writer would not quote it, and readers end a row
    return f"'{value}" if _FORMULA.match(value) else value
