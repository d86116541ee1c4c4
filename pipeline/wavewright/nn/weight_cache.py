"""Cache of a value derived from a module's weights, valid while they stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

T = TypeVar("T")


class WeightCache:
    """Cache of one value, computed again when a weight or the key has changed."""

    def __init__(self) -> None:
        self._entry: tuple[object, object, Any] | None = None

    def get(self, module: nn.Module, about: object, make: Callable[[], T]) -> T:
        """Value that `make` computes for a module.

        Args:
            module: whose weights it is made of.
            about: what else it depends on.
            make: makes it.
        """
        values = (*module.parameters(), *module.buffers())
        if any(value.is_inference() for value in values):  # whose changes are not counted
            return make()
        weights = tuple((value.data_ptr(), value._version) for value in values)
        if self._entry is None or self._entry[:2] != (about, weights):
            self._entry = about, weights, make()
        value: T = self._entry[2]
        return value
