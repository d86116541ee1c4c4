"""Number formatting of reports: equal decimals within a column, a true minus sign, p values."""

from __future__ import annotations

from collections.abc import Iterable

MINUS = "\u2212"
_SCIENTIFIC_FROM = 1e6  # magnitude from which numbers are written with an exponent


def decimal_places(values: Iterable[float | None]) -> int:
    """Decimals of numbers in one column: three below 10, one fewer for every tenfold."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next((places for places, end in ((3, 10), (2, 100), (1, 1000)) if largest < end), 0)


def format_fixed(value: float, places: int, *, signed: bool = False) -> str:
    """Format a number with a true minus sign, and with a plus if `signed`; zero has no sign."""
    if abs(value) >= _SCIENTIFIC_FROM:
        return f"{value:.2g}"
    text = f"{abs(value):.{places}f}"
    if not float(text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def format_interval(low: float, high: float, places: int, *, signed: bool = False) -> str:
    """Format an interval as `[low, high]`."""
    ends = (format_fixed(end, places, signed=signed) for end in (low, high))
    return f"[{', '.join(ends)}]"


def format_p(p: float) -> str:
    """Format a p value for a table."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
