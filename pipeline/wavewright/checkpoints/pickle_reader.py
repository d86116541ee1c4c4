"""Reader of tensors in foreign checkpoints, which never runs code of their pickles.

Many published checkpoints are whole modules, pickled: loading one as its authors do needs their
code and runs whatever the file says. Here a pickle may build tensors and plain containers; every
other class that it names becomes an empty shell that only remembers what it was given. One that
names what no weights need, such as os.system, is refused.
"""

from __future__ import annotations

import builtins
import collections
import io
import os
import pickle
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.io.torch_files import open_torch_file


class _Builder:
    """Calls a function for a pickle, which cannot change anything about the function.

    A pickle may set attributes of whatever it names; on torch's own function they would stay.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets attributes of a function")


#: What a pickle gets for what it names. Storages are not among these: torch finds them itself.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Builder(torch._utils._rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Builder(torch._utils._rebuild_tensor_v2),
    ("torch._utils", "_rebuild_parameter"): _Builder(torch._utils._rebuild_parameter),
    ("torch", "Size"): torch.Size,
}
#: Where a function, if it were called, could act on the machine.
_ACTING = {
    "asyncio", "code", "commands", "ctypes", "importlib", "marshal", "multiprocessing", "nt", "os",
    "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "tempfile", "urllib",
    "webbrowser",
}  # fmt: skip
_PARTLY = {"builtins": builtins, "__builtin__": builtins, "io": io}  # their classes are harmless


class _HostileError(Exception):
    """A pickle names a function that acts on the machine."""


class OpaqueObject:
    """Stands for an object of a class that was not loaded: its attributes, nothing else."""

    dump_patches = False  # by which torch would write a file where a class's source has changed

    def __init__(self, *arguments: object, **named: object) -> None:
        """Takes anything and does nothing with it."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __call__(self, *arguments: object, **named: object) -> OpaqueObject:
        return OpaqueObject()

    def append(self, value: object) -> None:
        """A list's, which a pickle may call."""

    def extend(self, values: object) -> None:
        """A list's, which a pickle may call."""

    def __setitem__(self, key: object, value: object) -> None:
        """A dict's, which a pickle may call."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        top = module.partition(".")[0]
        # getattr stands in pickles of bound methods, which modules may keep.
        harmless = isinstance(getattr(_PARTLY.get(top), name, None), type) or name == "getattr"
        if top in _ACTING or (top in _PARTLY and not harmless):
            raise _HostileError(f"{module}.{name}")
        return type(name, (OpaqueObject,), {}) if allowed is None else allowed


def _load(file: Any, **named: Any) -> Any:
    return _Unpickler(file, **named).load()


def _loads(data: bytes, **named: Any) -> Any:
    return _load(io.BytesIO(data), **named)


#: What torch asks of a pickle module.
_MODULE = types.SimpleNamespace(
    __name__="wavewright.checkpoints.pickle_reader",
    Unpickler=_Unpickler,
    UnpicklingError=pickle.UnpicklingError,
    load=_load,
    loads=_loads,
)


_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class CheckpointContents(NamedTuple):
    """State dicts and step of a checkpoint.

    Attributes:
        states: every state dict and module, by its dotted path in the file; "" at the top.
        step: training steps, where the file has them; else 0.
    """

    states: dict[str, dict[str, Tensor]]
    step: int


def read_pickled_checkpoint(path: Path) -> CheckpointContents:
    """Read all state dicts of a file that torch.save wrote, in either of its formats.

    Raises:
        WavewrightError: it is missing, no such file, hostile, or holds no tensors; or the
            environment forbids torch to take our unpickler.
    """
    if os.environ.get(_FORCED, "").lower() in ("1", "y", "yes", "true"):
        raise WavewrightError(
            f"{path}: not read, because with {_FORCED} set torch takes no unpickler but its own, "
            "which refuses whole modules; unset it, for nothing in a file is run without it either"
        )
    try:
        with warnings.catch_warnings(), open_torch_file(path) as file:
            warnings.simplefilter("ignore")  # of classes whose source has changed
            loaded = torch.load(
                file, map_location="cpu", pickle_module=_MODULE, weights_only=False, mmap=False
            )
        states = dict(_find(loaded))
    except WavewrightError:
        raise
    except _HostileError as error:
        raise WavewrightError(
            f"{path}: refused, it asks for {error}, which no weights need; nothing of it was run"
        ) from None
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "").partition(". This file")[0]
        raise WavewrightError(
            f"{path}: is no checkpoint that torch.save wrote, or is damaged "
            f"({type(error).__name__}: {reason})"
        ) from error
    if not states:
        raise WavewrightError(f"{path}: holds no state dict and no module")
    return CheckpointContents(states, _step(loaded))


_STEPS = ("steps", "step", "global_step", "iteration")


def _step(loaded: object) -> int:
    counts = [loaded.get(name) for name in _STEPS] if isinstance(loaded, Mapping) else []
    return next((value for value in counts if type(value) is int and value >= 0), 0)


def _find(value: object, place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Find all sets of named tensors in a loaded value."""
    if isinstance(value, OpaqueObject):
        tensors = _tensors_of(value)
    elif isinstance(value, Mapping):
        tensors = {str(key): item for key, item in value.items() if isinstance(item, Tensor)}
    else:
        return
    if tensors:
        yield place, tensors
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find(item, f"{place}.{key}" if place else str(key))


def _tensors_of(module: OpaqueObject, prefix: str = "") -> dict[str, Tensor]:
    """A pickled module's parameters and buffers, as its state dict would name them."""
    about, tensors = vars(module), {}
    for kind in ("_parameters", "_buffers"):
        for name, value in (about.get(kind) or {}).items():
            if isinstance(value, Tensor):
                tensors[prefix + name] = value.detach()
    for name, child in (about.get("_modules") or {}).items():
        if isinstance(child, OpaqueObject):
            tensors |= _tensors_of(child, f"{prefix}{name}.")
    return tensors
