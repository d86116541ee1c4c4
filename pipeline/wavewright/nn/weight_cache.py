"""What is made of a module's weights and kept as long as they stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

T = TypeVar("T")


class WeightCache:
    """One thing at a time, made anew whenever a weight or what was asked for has changed."""

    def __init__(self) -> None:
        self._made: tuple[object, object, Any] | None = None

    def get(self, module: nn.Module, about: object, make: Callable[[], T]) -> T:
        """What `make` gives for a module.

        Args:
            module: whose weights it is made of.
            about: what else it depends on.
            make: makes it.
        """
        values = (*module.parameters(), *module.buffers())
        if any(value.is_inference() for value in values):  # whose changes are not counted
            return make()
        weights = tuple((value.data_ptr(), value._version) for value in values)
        if self._made is None or self._made[:2] != (about, weights):
            self._made = about, weights, make()
        made: T = self._made[2]
        return made
