"""A stage is a function; its inputs, its output and its options come from its signature.

    @stage(version=1)
    def mels(prepared: In, mels: Out, *, mel: MelSpec, jobs: Unkeyed[int] = 1) -> None: ...

Positional parameters are folders. Exactly one is `Out`; each `In` is named like the `Out` of the
stage that makes it. Keyword-only parameters are options, validated from the recipe's section of
the stage's name (`mel`, `sample_rate` and `seed` also from the recipe's top level). A parameter
whose type is an `OptionGroup` stands for all fields of that group: the recipe names them like the
stage's other options, and the function receives them together. A stage knows neither its number
nor the runner nor other stages.

The `Out` folder exists when the function starts and may hold what an interrupted run with the
same key left there: resume from it. Everything below `Out/logs` is for people and counts in no
digest. Modules that define stages import nothing heavy at their top, because reading a signature
must be quick.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

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
"""An `In`, or None where the recipe has no such stage or the options do not need it."""
InMany = Annotated[dict[str, Path], _MANY]
"""Output folders of all units of an earlier stage, by unit name."""
Out = Annotated[Path, _OUT]
"""Folder that this stage fills."""
Unkeyed = Annotated[T, _UNKEYED]
"""Option that cannot change the result: number of jobs, device, intervals of saving."""
Budget = Annotated[T, _BUDGET]
"""Option of a precious stage that sets how far to go; a larger one continues."""

_FOLDERS = (_IN, _MAYBE, _MANY, _OUT)


class OptionGroup(BaseModel):
    """Options that stages share; a stage takes the whole group as one keyword-only parameter.

    Write each option once, as a field: its type marked `Unkeyed` or `Budget` where that holds, its
    default, and its documentation as `Field(description=...)`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptionInfo(NamedTuple):
    """Description of one option of a stage.

    Attributes:
        name: key in the recipe's section of the stage.
        type: type in words, such as `integer > 0` or `path or null`.
        required: whether the recipe must set it.
        default: value as YAML would hold it; None where it is required.
        doc: one paragraph.
        kind: `keyed` changes the result, `unkeyed` does not, `budget` says how far to go.
        choices: allowed values, where only some are.
    """

    name: str
    type: str
    required: bool
    default: Any
    doc: str
    kind: Literal["keyed", "budget", "unkeyed"]
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A stage function and the meaning of its signature.

    Attributes:
        function: the work.
        name: name of the function.
        version: raise it when the meaning of the output changes.
        precious: results are not thrown away when only code or libraries changed.
        foreach: option that maps unit names to options; the function runs once per unit, which
            it receives as `name`.
        uses: given the options, which inputs they need; None means all.
        inputs: name -> "In", "InMaybe" or "InMany".
        output: name of the Out parameter.
        options: pydantic model of all options, those of the groups included.
        option_order: names of the options as the signature has them.
        groups: option groups by parameter.
        unkeyed: options outside the key.
        budget: the option that is a budget, or None.
    """

    function: Callable[..., None]
    name: str
    version: int
    precious: bool
    foreach: str | None
    uses: Callable[[Any], set[str]] | None
    inputs: dict[str, str]
    output: str
    options: type[BaseModel]
    option_order: tuple[str, ...]
    groups: dict[str, type[OptionGroup]]
    unkeyed: frozenset[str]
    budget: str | None

    def __call__(self, *folders: Any, **arguments: Any) -> None:
        """Run the function on folders and options, every option named as in a recipe."""
        named = {k: v for k, v in arguments.items() if k in self.inputs or k == self.output}
        options = {k: v for k, v in arguments.items() if k not in named}
        self.function(*folders, **named, **self.arguments(self.options(**options)))

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def needs(self, options: BaseModel) -> set[str]:
        """Inputs that a run with these options reads."""
        return set(self.inputs) if self.uses is None else self.uses(options)

    def arguments(self, options: BaseModel) -> dict[str, Any]:
        """Keyword arguments of the function: its own options, and each group as one object."""
        values = {name: getattr(options, name) for name in self.option_order}
        grouped = {
            name: group.model_construct(
                **{field: values.pop(field) for field in group.model_fields}
            )
            for name, group in self.groups.items()
        }
        return {**values, **grouped}


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
        groups: dict[str, type[OptionGroup]] = {}
        marks_of: dict[str, list[_Mark]] = {}  # in the order of the signature
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
            if isinstance(kind, type) and issubclass(kind, OptionGroup):
                groups[name] = kind
                marks_of |= {n: _marks(kind.model_fields[n].metadata) for n in _own_first(kind)}
                continue
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (kind, default)
            marks_of[name] = marks
        budgets = [name for name, marks in marks_of.items() if _BUDGET in marks]
        if len(outputs) != 1 or len(budgets) > 1:
            raise TypeError(f"{function.__name__}: needs exactly one Out and at most one Budget")
        if len(marks_of) != len(fields) + sum(len(g.model_fields) for g in groups.values()):
            raise TypeError(f"{function.__name__}: two of its options have one name")
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
                __base__=tuple(groups.values()) or OptionGroup,
                **fields,
            ),
            option_order=tuple(marks_of),
            groups=groups,
            unkeyed=frozenset(name for name, marks in marks_of.items() if _UNKEYED in marks),
            budget=budgets[0] if budgets else None,
        )

    return wrap


def options_of(stage: Stage) -> list[OptionInfo]:
    """Describe all options of a stage, in the order of its signature."""
    fields, docs = stage.options.model_fields, _argument_docs(stage.function)
    described = []
    for name in stage.option_order:
        field = fields[name]
        words, choices = format_type(field.annotation, field.metadata)
        described.append(
            OptionInfo(
                name=name,
                type=words,
                required=field.is_required(),
                default=None if field.is_required() else to_jsonable_python(field.default),
                doc=field.description or docs.get(name, ""),
                kind=(
                    "budget"
                    if name == stage.budget
                    else "unkeyed"
                    if name in stage.unkeyed
                    else "keyed"
                ),
                choices=choices,
            )
        )
    return described


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    NoneType: "null",
    Any: "anything",
}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def format_type(annotation: Any, metadata: Iterable[Any] = ()) -> tuple[str, tuple[str, ...]]:
    """Type of an option in words, and its allowed values if only some are."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return format_type(inner[0], [*_constraints(inner[1:]), *metadata])
    if origin is Literal:
        return "choice", tuple(str(value) for value in inner)
    choices: tuple[str, ...] = ()
    if annotation in _WORDS:
        words = _WORDS[annotation]
    elif origin in (tuple, list):
        words = f"list of {format_type(inner[0])[0]}"
    elif dict in (annotation, origin):
        words = "mapping"
    elif inner:  # a union, whose limits are those of its number
        parts = [format_type(part, metadata if part in (int, float) else ()) for part in inner]
        metadata = ()
        choices = tuple(value for _, values in parts for value in values)
        words = " or ".join(part for part, _ in parts)
    else:
        words = f"mapping ({annotation.__name__})"
    limits = [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return " ".join([words, ", ".join(limits)]).strip(), choices


def _own_first(group: type[OptionGroup]) -> Iterator[str]:
    """Fields of a group: its own, then those that it inherits."""
    for kind in group.__mro__:
        if issubclass(kind, OptionGroup):
            inherited = {
                name for base in kind.__bases__ for name in getattr(base, "model_fields", ())
            }
            yield from (name for name in kind.model_fields if name not in inherited)


def _constraints(metadata: Iterable[Any]) -> Iterator[Any]:
    """Metadata of an annotation, with that of pydantic's `Field` laid open."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _argument_docs(function: Callable[..., None]) -> dict[str, str]:
    """Descriptions in the `Args:` section of a docstring, by parameter."""
    section = re.search(
        r"^Args:\n(.*?)(?=^\S|\Z)", inspect.getdoc(function) or "", re.MULTILINE | re.DOTALL
    )
    if section is None:
        return {}
    arguments = re.findall(
        r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section[1], re.MULTILINE | re.DOTALL
    )
    return {name: " ".join(text.split()) for name, text in arguments}


def _marks(metadata: Iterable[Any]) -> list[_Mark]:
    return [item for item in metadata if isinstance(item, _Mark)]


def _split(hint: Any) -> tuple[Any, list[_Mark]]:
    """Plain type of an annotation and our marks on it."""
    if get_origin(hint) is not Annotated:
        return hint, []
    kind, *metadata = get_args(hint)
    others = [item for item in metadata if not isinstance(item, _Mark)]
    return (Annotated[kind, *others] if others else kind), _marks(metadata)
