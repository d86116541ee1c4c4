"""Recipes: one complete YAML file each, read strictly.

Unknown fields and values out of range are errors that name file, line, field, what was found and
what is allowed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from wavewright.errors import UnknownName, WavewrightError, did_you_mean
from wavewright.io.strict_yaml import parse_assignment, parse_yaml
from wavewright.mel.spec import BandsFirst
from wavewright.stage import Stage

_INSTALLED = Path(__file__).parents[1] / "_recipes"  # where a wheel puts the recipes
_LARGEST_RECIPE = 1_000_000  # bytes; a recipe is a page or two
_RUN_SH = """#!/usr/bin/env bash
# Usage: ./run.sh [--stage 3] [--stop-stage 5] [--set train.max_steps=1000]
set -euo pipefail
exec wavewright run "$(dirname "$0")/recipe.yaml" "$@"
"""


class _RecipeHead(BaseModel):
    """The top level of a recipe, besides the sections of its stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    about: str
    work_dir: Path
    seed: int = Field(ge=0)
    mel: BandsFirst
    stages: list[str]

    @field_validator("stages")
    @classmethod
    def _once_each(cls, stages: list[str]) -> list[str]:
        repeated = [name for name in stages if stages.count(name) > 1]
        if repeated:
            raise ValueError(f"'{repeated[0]}' is there more than once")
        return stages


@dataclass(frozen=True)
class Recipe:
    """Recipe as read: head, raw sections, and the origin of each value.

    Attributes:
        path: path of the recipe.yaml.
        name: name of the recipe.
        about: a sentence on what it does.
        work_dir: folder of the results.
        stages: names in order; their place is their number.
        sections: raw options by stage name.
        shared: values of `mel`, its `sample_rate`, and `seed`, for stages that take them.
        lines: line of each dotted field in the file.
        changed: dotted fields set on the command line, and the folder their paths start from.
        changes: the same as the user wrote them.
    """

    path: Path
    name: str
    about: str
    work_dir: Path
    stages: tuple[str, ...]
    sections: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]
    lines: Mapping[str, int]
    changed: Mapping[str, Path]
    changes: tuple[str, ...] = ()

    def options(self, stage: Stage, unit: str = "", forced: Mapping[str, Any] = {}) -> BaseModel:
        """Validated options of a stage, or of one unit of it.

        Args:
            stage: the stage.
            unit: one of `units(stage)`.
            forced: values that go before the recipe's, for the stages that take them.

        Raises:
            WavewrightError: naming file, line, field, found and allowed.
        """
        section = dict(self.sections[stage.name])
        where = {name: f"{stage.name}.{name}" for name in section}
        if stage.foreach:
            units = self.units(stage)
            section.pop(stage.foreach, None)
            own = {"name": unit, **units[unit]}
            section |= own
            where |= {name: f"{stage.name}.{stage.foreach}.{unit}.{name}" for name in own}
        fields = stage.options.model_fields
        section = {**{k: v for k, v in self.shared.items() if k in fields}, **section}
        section |= {k: v for k, v in forced.items() if k in fields}
        for name, value in section.items():
            if name in fields and isinstance(value, str) and _takes_path(fields[name].annotation):
                base = self._base(where.get(name, name))
                section[name] = base / Path(value).expanduser()
        try:
            return stage.options.model_validate(section)
        except ValidationError as error:
            raise WavewrightError(self._explain(error, where, stage.options, stage.name)) from error

    def units(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Options by unit name of a stage that runs once per unit; `{"": {}}` for others."""
        if not stage.foreach:
            return {"": {}}
        units = self.sections[stage.name].get(stage.foreach)
        place = f"{stage.name}.{stage.foreach}"
        if not isinstance(units, Mapping) or not units:
            raise WavewrightError(
                f"{self._place(place)}: {place} must map at least one name to its options, "
                f"such as `hifigan:v3: {{}}`; found {units!r}"
            )
        for name, own in units.items():
            if own is not None and not isinstance(own, Mapping):
                raise WavewrightError(
                    f"{self._place(f'{place}.{name}')}: {place}.{name} must map options to "
                    f"values, found {own!r}"
                )
        return {str(name): dict(own or {}) for name, own in units.items()}

    def with_units(self, stage: Stage, names: Sequence[str]) -> Recipe:
        """The recipe with only these units of a stage; new ones get the section's options."""
        if not stage.foreach:
            raise WavewrightError(f"stage '{stage.name}' has no units to choose from")
        own = self.units(stage)
        section = {**self.sections[stage.name], stage.foreach: {n: own.get(n, {}) for n in names}}
        return replace(self, sections={**self.sections, stage.name: section})

    def _base(self, place: str) -> Path:
        """Folder from which a relative path at this place starts."""
        change = self._change_of(place)
        return self.path.parent if change is None else self.changed[change]

    def _change_of(self, place: str) -> str | None:
        """The field set on the command line that a place is, or is below."""
        return next((c for c in self.changed if place == c or place.startswith(f"{c}.")), None)

    def _place(self, dotted: str) -> str:
        """Source of a field: `file:line`, or `--set` if it came from the command line."""
        if self._change_of(dotted) is not None:
            return f"--set {dotted}"
        below = next((change for change in self.changed if change.startswith(f"{dotted}.")), None)
        if below is not None and dotted not in self.lines:
            return f"--set {below}"
        while dotted and dotted not in self.lines:
            dotted = dotted.rpartition(".")[0]
        return f"{self.path}:{self.lines[dotted]}" if dotted else str(self.path)

    def _explain(
        self,
        error: ValidationError,
        where: Mapping[str, str],
        model: type[BaseModel],
        section: str,
    ) -> str:
        first = error.errors()[0]
        parts = [str(part) for part in first["loc"]]
        allowed = _fields_at(model, parts[:-1])
        top = where.get(parts[0], f"{section}.{parts[0]}".removeprefix("."))
        dotted = ".".join([top, *parts[1:]])
        if first["type"] == "missing":
            return f"{self._place(section)}: {dotted} is required and missing"
        if first["type"] == "extra_forbidden":
            return (
                f"{self._place(dotted)}: unknown field {dotted}.{did_you_mean(parts[-1], allowed)} "
                f"Allowed: {', '.join(allowed)}."
            )
        message = first["msg"].removeprefix("Value error, ")
        finding = "" if isinstance(first["input"], dict) else f", found {first['input']!r}"
        return f"{self._place(dotted)}: {dotted}: {message}{finding}"


def load_recipe(where: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        where: a recipe.yaml, a folder with one, or the name of a shipped recipe.
        changes: `a.b=c` assignments from the command line; values are YAML, relative paths
            start from the working folder.

    Raises:
        WavewrightError: naming file, line, field, found and allowed.
    """
    path = find_recipe(where)
    if path.parent.parent == _INSTALLED and not any(c.startswith("work_dir=") for c in changes):
        raise WavewrightError(
            f"the shipped recipe '{path.parent.name}' lies in the installed package; make a copy "
            f"to run: wavewright new {path.parent.name} DIR"
        )
    if path.stat().st_size > _LARGEST_RECIPE:
        raise WavewrightError(f"{path}: larger than {_LARGEST_RECIPE} bytes, so not a recipe")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WavewrightError(f"{path}: not a readable UTF-8 text ({error})") from error
    data, lines = parse_yaml(text, path)
    changed = {}
    for change in changes:
        dotted, value = parse_assignment(change)
        _put(data, dotted, value, change)
        changed[".".join(dotted)] = Path.cwd()
    recipe = Recipe(path, "", "", path.parent, (), {}, {}, lines, changed, tuple(changes))
    head = _head(data, recipe)
    sections = {name: data.get(name) or {} for name in head.stages}
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            raise WavewrightError(f"{recipe._place(name)}: {name} must map options to values")
    return replace(
        recipe,
        name=head.recipe,
        about=head.about,
        work_dir=recipe._base("work_dir") / head.work_dir.expanduser(),
        stages=tuple(head.stages),
        sections=sections,
        shared={"mel": head.mel, "sample_rate": head.mel.sample_rate, "seed": head.seed},
    )


def _head(data: dict[str, Any], recipe: Recipe) -> _RecipeHead:
    named = data.get("stages")
    sections = [str(n) for n in named] if isinstance(named, list) else []
    model = create_model("recipe", __base__=_RecipeHead, **dict.fromkeys(sections, (Any, None)))  # type: ignore[call-overload]
    try:
        head: _RecipeHead = model.model_validate(data)
        return head
    except ValidationError as error:
        places = {str(name): str(name) for name in data}
        raise WavewrightError(recipe._explain(error, places, model, "")) from error


def find_recipe(where: str | Path) -> Path:
    """Path of the recipe.yaml that a path, a folder or a shipped name means."""
    path = Path(where)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return (path / "recipe.yaml").absolute()
    if path.is_file():
        return path.absolute()
    shipped = shipped_recipes()
    if str(where) in shipped:
        return shipped[str(where)]
    raise UnknownName(
        f"no recipe '{where}'.{did_you_mean(str(where), shipped)} Give a recipe.yaml, its folder, "
        f"or a shipped name: {', '.join(shipped)}."
    )


def shipped_recipes() -> dict[str, Path]:
    """Recipes that came with this installation, by name."""
    for folder in (Path(__file__).parents[3] / "recipes", _INSTALLED):
        recipes = {p.parent.name: p for p in sorted(folder.glob("*/recipe.yaml"))}
        if recipes:
            return recipes
    return {}


def copy_recipe(name: str, folder: Path) -> Path:
    """Copy a shipped recipe's files to a new folder, with a run.sh that calls the command."""
    source = find_recipe(name).parent
    if folder.exists():
        raise WavewrightError(f"{folder}: exists already; name a folder that does not")
    shutil.copytree(
        source, folder, ignore=shutil.ignore_patterns("exp", "downloads", "weights", "run.sh")
    )
    script = folder / "run.sh"
    script.write_text(_RUN_SH)
    script.chmod(0o755)
    return folder


def _put(data: dict[str, Any], path: Sequence[str], value: Any, change: str) -> None:
    place = data
    for i, part in enumerate(path[:-1]):
        if place.get(part) is None:
            place[part] = {}
        if not isinstance(place[part], dict):
            raise WavewrightError(
                f"--set {change}: {'.'.join(path[: i + 1])} is {place[part]!r}, which has no fields"
            )
        place = place[part]
    place[path[-1]] = value


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or Path in get_args(annotation)


def _fields_at(model: type[BaseModel], parts: Sequence[str]) -> list[str]:
    """Field names of the model reached by walking `parts`, as far as they are models."""
    here: Any = model
    for part in parts:
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return []
        field = here.model_fields.get(part)
        here = field.annotation if field else None
        options = [a for a in get_args(here) if isinstance(a, type) and issubclass(a, BaseModel)]
        here = options[0] if options else here
    if isinstance(here, type) and issubclass(here, BaseModel):
        return list(here.model_fields)
    return []
