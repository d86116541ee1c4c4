"""Tables for programs, which people open in spreadsheets."""

from __future__ import annotations

import csv
import io

import pytest

from wavewright.io.csv_text import csv_text


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2+cmd()", "\t=1", "\n=1", "=1,5", '="a"']
)
def test_nothing_is_a_formula(text: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_text([("u01", text)]), newline=""))
    assert row == ["u01", f"'{text}"]


@pytest.mark.parametrize(
    "text", ["", "-rf", "-1.5e-3", "a=b", "x@y", "line\nbreak", 'quo"te', "‮rtl", "None", "3 + 4"]
)
def test_all_else_comes_back_as_it_was(text: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_text([(text, 1.5, None)]), newline=""))
    assert row == [text, "1.5", ""]


def test_no_kind_of_line_end_ends_a_row() -> None:
    (row,) = csv.reader(io.StringIO(csv_text([("a\rb", "c\r\nd", "\r=1")]), newline=""))
    assert row == ["a\nb", "c\nd", "'\n=1"]
