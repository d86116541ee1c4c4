"""What may not happen to the labels of a chart."""

from __future__ import annotations

from tests.browser.chromium import Tab


def colliding_labels(tab: Tab) -> int:
    """How many pairs of labels of one chart cover each other."""
    return int(
        tab.run(
            "[...document.querySelectorAll('.chart')].flatMap(chart => {"
            "const boxes = [...chart.querySelectorAll('text')].map(t => t.getBoundingClientRect());"
            "return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>"
            "a.left < b.right - 1 && b.left < a.right - 1 &&"
            "a.top < b.bottom - 4 && b.top < a.bottom - 4));}).length"
        )
    )


def cut_labels(tab: Tab) -> list[str]:
    """Labels that stick out of their chart sideways."""
    boxes: list[str] = tab.run(
        "[...document.querySelectorAll('.chart')].flatMap(chart => {"
        "const frame = chart.getBoundingClientRect();"
        "return [...chart.querySelectorAll('text')].filter(t => {"
        "const box = t.getBoundingClientRect();"
        "return box.left < frame.left - 1 || box.right > frame.right + 1;"
        "}).map(t => t.textContent);})"
    )
    return boxes
