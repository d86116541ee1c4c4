"""Guard inside an ONNX graph that refuses mels in another logarithm.

In clients such as sherpa-onnx, only the graph itself can detect the mistake. An operator, whose
name is the message, fails on mels that `log_base.require_plausible_log` refuses; ONNX Runtime puts
the name into its error. Any other mel passes with its values unchanged.
"""

from __future__ import annotations

import math
from typing import Any

from wavewright.interop.log_base import DEVIATION, LEAST_SECONDS, MEDIAN
from wavewright.mel.spec import LOG_UNIT, MelSpec

_MEL = "mel"


def add_log_guard(model: Any, spec: MelSpec) -> None:
    """Add the guard to an onnx.ModelProto with an input `mel` in the convention `spec`.

    Args:
        model: changed in place.
        spec: convention of its mels; one with a normalisation is not checked, and the model stays
            as it is.
    """
    if spec.normalisation is not None:
        return
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == _MEL:
                node.input[position] = "checked.mel"
    builder = _Nodes()
    flat = builder.add("Reshape", _MEL, builder.integers(-1))
    frames = math.ceil(LEAST_SECONDS * spec.sample_rate / spec.hop_length)
    count = builder.add("Size", flat)
    long = builder.add("GreaterOrEqual", count, builder.integer(frames * spec.n_mels))
    median, deviation = _middle(builder, flat, count), _spread(builder, flat)
    likely = _like_speech(builder, median, deviation, spec.log)
    suspect = builder.add("And", long, builder.add("Not", likely))
    values = _MEL
    for log in LOG_UNIT:
        if log == spec.log:
            continue
        wrong = builder.add("And", suspect, _like_speech(builder, median, deviation, log))
        place = builder.add("Cast", wrong, to=7)
        words = f"this mel looks like speech in {log}, and the vocoder wants {spec.log}"
        one = builder.add(
            "Gather", builder.numbers(1.0), place, name=words
        )  # it has no second number
        values = builder.add("Mul", values, one)
    builder.add("Identity", values, out="checked.mel")
    nodes = [*builder.nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(builder.constants)


def _middle(builder: _Nodes, values: str, count: str) -> str:
    """Lower median, as torch computes it."""
    half = builder.add("Div", builder.add("Add", count, builder.integer(1)), builder.integer(2))
    upto = builder.add("Reshape", half, builder.integers(1))
    lower = builder.add("TopK", values, upto, outputs=2, largest=0, sorted=1)
    return builder.add("Gather", lower, builder.integer(-1))


def _spread(builder: _Nodes, values: str) -> str:
    away = builder.add("Sub", values, builder.add("ReduceMean", values, keepdims=1))
    return builder.add(
        "Sqrt", builder.add("ReduceMean", builder.add("Mul", away, away), keepdims=0)
    )


def _like_speech(builder: _Nodes, median: str, deviation: str, log: str) -> str:
    parts = []
    for value, bounds in ((median, MEDIAN), (deviation, DEVIATION)):
        low, high = (builder.number(bound * LOG_UNIT[log]) for bound in bounds)
        parts += [builder.add("Greater", value, low), builder.add("Less", value, high)]
    inside = parts[0]
    for part in parts[1:]:
        inside = builder.add("And", inside, part)
    return inside


class _Nodes:
    """Builder of operators and constants, with names that no exporter uses."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(
        self,
        kind: str,
        *inputs: str,
        name: str = "",
        out: str = "",
        outputs: int = 1,
        **attributes: Any,
    ) -> str:
        """Add an operator; returns the name of its first output."""
        from onnx import helper

        first = out or f"check.{len(self.nodes)}"
        results = [first, *(f"{first}.{n}" for n in range(1, outputs))]
        name = name or f"node of {first}"
        self.nodes.append(helper.make_node(kind, inputs, results, name=name, **attributes))
        return first

    def number(self, value: float) -> str:
        """Add a float constant."""
        return self._constant(1, [], [value])

    def numbers(self, *values: float) -> str:
        """Add a constant list of floats."""
        return self._constant(1, [len(values)], values)

    def integer(self, value: int) -> str:
        """Add an int64 constant."""
        return self._constant(7, [], [value])

    def integers(self, *values: int) -> str:
        """Add a constant list of int64."""
        return self._constant(7, [len(values)], values)

    def _constant(self, kind: int, shape: list[int], values: Any) -> str:
        from onnx import helper

        name = f"check.constant.{len(self.constants)}"
        self.constants.append(helper.make_tensor(name, kind, shape, values))
        return name
