"""A stage is a function; its inputs, its output and its options come from its signature.

    @stage(version=1)
    def mels(prepared: In, mels: Out, *, mel: MelSpec, jobs: Unkeyed[int] = 1) -> None: ...

Positional parameters are folders. Exactly one is `Out`; each `In` is named like the `Out` of the
stage that makes it. Keyword-only parameters are options, validated from the recipe's section of
the stage's name (`mel`, `sample_rate` and `seed` also from the recipe's top level). A stage knows
neither its number nor the runner nor other stages.

The `Out` folder exists when the function starts and may hold what an interrupted run with the
same key left there: resume from it. Everything below `Out/logs` is for people and counts in no
digest. Modules that define stages import nothing heavy at their top, because reading a signature
must be quick.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

T = TypeVar("T")


class _Mark:
    """Annotation metadata; compared by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


_IN, _MAYBE, _MANY, _OUT = _Mark("In"), _Mark("InMaybe"), _Mark("InMany"), _Mark("Out")
_UNKEYED, _BUDGET = _Mark("Unkeyed"), _Mark("Budget")

In = Annotated[Path, _IN]
"""Output folder of an earlier stage."""
InMaybe = Annotated[Path | None, _MAYBE]
"""The same, or None where the recipe has no such stage or the options do not need it."""
InMany = Annotated[dict[str, Path], _MANY]
"""Output folders of all units of an earlier stage, by unit name."""
Out = Annotated[Path, _OUT]
"""Folder that this stage fills."""
Unkeyed = Annotated[T, _UNKEYED]
"""Option that cannot change the result: number of jobs, device, intervals of saving."""
Budget = Annotated[T, _BUDGET]
"""Option of a precious stage that says how far to go; a larger one continues."""

_FOLDERS = (_IN, _MAYBE, _MANY, _OUT)


@dataclass(frozen=True)
class Stage:
    """A stage function and what its signature says.

    Attributes:
        function: the work.
        name: of the function.
        version: raise it when the meaning of the output changes.
        precious: results are not thrown away when only code or libraries changed.
        foreach: option that maps unit names to options; the function runs once per unit, which
            it receives as `name`.
        uses: given the options, which inputs they need; None means all.
        inputs: name -> "In", "InMaybe" or "InMany".
        output: name of the Out parameter.
        options: pydantic model of the keyword-only parameters.
        unkeyed: options outside the key.
        budget: the option that is a budget, or None.
    """

    function: Callable[..., None]
    name: str
    version: int
    precious: bool
    foreach: str | None
    uses: Callable[[BaseModel], set[str]] | None
    inputs: dict[str, str]
    output: str
    options: type[BaseModel]
    unkeyed: frozenset[str]
    budget: str | None

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.function(*args, **kwargs)

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def needs(self, options: BaseModel) -> set[str]:
        """Inputs that a run with these options reads."""
        return set(self.inputs) if self.uses is None else self.uses(options)


def stage(
    *,
    version: int,
    precious: bool = False,
    foreach: str | None = None,
    uses: Callable[[Any], set[str]] | None = None,
) -> Callable[[Callable[..., None]], Stage]:
    """Turn a function into a Stage; see the module's docstring for the rules."""

    def wrap(function: Callable[..., None]) -> Stage:
        hints = get_type_hints(function, include_extras=True)
        inputs: dict[str, str] = {}
        outputs: list[str] = []
        fields: dict[str, Any] = {}
        unkeyed: set[str] = set()
        budgets: list[str] = []
        for name, parameter in inspect.signature(function).parameters.items():
            kind, marks = _split(hints[name])
            folder = next((mark for mark in marks if mark in _FOLDERS), None)
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                if folder is None:
                    raise TypeError(f"{function.__name__}({name}): positional but not In or Out")
                if folder is _OUT:
                    outputs.append(name)
                else:
                    inputs[name] = folder.name
                continue
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (kind, default)
            unkeyed |= {name} if _UNKEYED in marks else set()
            budgets += [name] if _BUDGET in marks else []
        if len(outputs) != 1 or len(budgets) > 1:
            raise TypeError(f"{function.__name__}: needs exactly one Out and at most one Budget")
        return Stage(
            function=function,
            name=function.__name__,
            version=version,
            precious=precious,
            foreach=foreach,
            uses=uses,
            inputs=inputs,
            output=outputs[0],
            options=create_model(
                f"{function.__name__} options",
                __config__=ConfigDict(frozen=True, extra="forbid"),
                **fields,
            ),
            unkeyed=frozenset(unkeyed),
            budget=budgets[0] if budgets else None,
        )

    return wrap


def _split(hint: Any) -> tuple[Any, list[_Mark]]:
    """The plain type of an annotation and our marks on it."""
    if get_origin(hint) is not Annotated:
        return hint, []
    kind, *metadata = get_args(hint)
    marks = [mark for mark in metadata if isinstance(mark, _Mark)]
    others = [item for item in metadata if not isinstance(item, _Mark)]
    return (Annotated[kind, *others] if others else kind), marks
