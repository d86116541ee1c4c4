"""How many decimals numbers are shown with: as many as tell systems apart, equally in a column."""

from __future__ import annotations

from collections.abc import Iterable

MINUS = "\u2212"
_LARGE = 1e6  # from which on numbers are shown by their power of ten


def decimals(values: Iterable[float | None]) -> int:
    """Decimals for numbers that stand together: three below 10, one fewer for every tenfold."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next((places for places, end in ((3, 10), (2, 100), (1, 1000)) if largest < end), 0)


def fixed(value: float, places: int, *, signed: bool = False) -> str:
    """A number with a true minus sign, and a plus where it is a difference; zero has neither."""
    if abs(value) >= _LARGE:
        return f"{value:.2g}"
    text = f"{abs(value):.{places}f}"
    if not float(text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def interval(low: float, high: float, places: int, *, signed: bool = False) -> str:
    """`[low, high]`."""
    ends = (fixed(end, places, signed=signed) for end in (low, high))
    return f"[{', '.join(ends)}]"


def probability(p: float) -> str:
    """A p value for a table."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
