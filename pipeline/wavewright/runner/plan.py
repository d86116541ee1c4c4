"""Plan of a recipe: units that are up to date, units that must run, and the reasons.

Nothing is executed or written here. A unit is a stage, or one vocoder of the train stage. Its key
is a digest of everything that its result depends on; the result is in the folder
`work_dir/NN_stage[/unit]/KEY`, and is up to date if it is there and intact.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from wavewright import registry
from wavewright.errors import UnknownName, WavewrightError, did_you_mean
from wavewright.io.fingerprint import PathFingerprints, code_fingerprint, json_digest
from wavewright.runner.changes import flatten, format_changes
from wavewright.runner.recipe import Recipe
from wavewright.runner.record import UNREADABLE, StageRecord, first_damage, read_record
from wavewright.stage import Stage

_KIND_LABELS = {"inputs": "input", "files": "what lies at"}
DAMAGED_REASON = "its result was damaged"
InputPaths = dict[str, Path | dict[str, Path] | None]


@dataclass(frozen=True)
class Unit:
    """One run of a stage function.

    Attributes:
        stage: the stage.
        number: its place in the recipe.
        name: name of the unit; empty for stages that run once.
        options: validated.
        home: folder of its results.
    """

    stage: Stage
    number: int
    name: str
    options: BaseModel
    home: Path

    @property
    def label(self) -> str:
        """Number, stage and unit name: `5 train hifigan:v3`."""
        return " ".join(filter(None, [str(self.number), self.stage.name, self.name]))

    @property
    def latest(self) -> Path:
        """Folder that `latest` points to; it may be missing."""
        return Path(os.path.realpath(self.home / "latest"))  # resolve() raises at a loop of links

    @property
    def budget(self) -> int | None:
        """Budget (such as steps) of this run; None for stages without one."""
        return getattr(self.options, self.stage.budget) if self.stage.budget else None


@dataclass(frozen=True)
class Assessment:
    """Decision about a unit.

    Attributes:
        unit: the unit.
        state: `done`, `run`, or `stale`: out of date but used on request (--allow-stale).
        reasons: reasons to run, one short sentence each; remarks for a done unit.
        key: digest of what the result depends on; empty if an input is not there yet.
        parts: components of the key, for records and explanations.
        folder: folder of the result, existing (`done`) or to be made.
        paths: input folders by parameter name.
        stale: units whose outdated results are used, as inputs or as inputs' inputs.
    """

    unit: Unit
    state: Literal["done", "run", "stale"]
    reasons: list[str]
    key: str = ""
    parts: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    paths: InputPaths = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)


class Plan:
    """Units of a recipe and their dependencies.

    Args:
        recipe: the recipe.
        vocoders: if given, the train stage's units are these.
        forced: options of every stage that takes them, such as `jobs` and `gpus`; None leaves one
            to the recipe.
    """

    def __init__(self, recipe: Recipe, *, vocoders: Sequence[str] = (), **forced: Any) -> None:
        self.stages: list[Stage] = [registry.find("stages", name) for name in recipe.stages]
        if vocoders:
            for stage in self.stages:
                if stage.foreach == "vocoders":
                    recipe = recipe.with_units(stage, vocoders)
        self.recipe, self.vocoders = recipe, tuple(vocoders)
        self.external_files = PathFingerprints(recipe.work_dir / ".outside.json")
        self._known: dict[str, Assessment] = {}  # by label; a result is looked at once
        self.stale_before = 0  # stages before this number may be out of date (--allow-stale)
        self.makers = {stage.output: stage for stage in self.stages}
        forced = {name: value for name, value in forced.items() if value is not None}
        self.forced = forced
        self.units: list[Unit] = []
        for number, stage in enumerate(self.stages):
            self._check_inputs(stage)
            for name in recipe.units(stage):
                home = recipe.work_dir / f"{number:02d}_{stage.name}"
                home = home / name.replace(":", "-") if name else home
                options = recipe.options(stage, name, forced)
                self.units.append(Unit(stage, number, name, options, home))
                self._check_needs(self.units[-1])

    def stage_number(self, stage: str | None, default: int) -> int:
        """Number of a stage given by number or name."""
        if stage is None:
            return default
        names = [s.name for s in self.stages]
        if stage.isdigit() and int(stage) < len(names):
            return int(stage)
        if stage in names:
            return names.index(stage)
        stages = ", ".join(f"{i} {name}" for i, name in enumerate(names))
        raise UnknownName(f"no stage '{stage}'.{did_you_mean(stage, names)} Stages: {stages}.")

    def units_of(self, stage: Stage) -> list[Unit]:
        """All units of a stage."""
        return [unit for unit in self.units if unit.stage is stage]

    def needed_by(self, first: int, last: int) -> set[str]:
        """Names of stages before `first` whose results the stages `first` to `last` read."""
        waiting = [u for u in self.units if first <= u.number <= last]
        needed: set[str] = set()
        while waiting:
            unit = waiting.pop()
            for name in self.inputs_of(unit):
                maker = self.makers[name]
                before = self.units_of(maker)
                if before[0].number < first and maker.name not in needed:
                    needed.add(maker.name)
                    waiting += before
        return needed

    def inputs_of(self, unit: Unit) -> list[str]:
        """Inputs that a unit reads and some stage of the recipe makes."""
        needs = unit.stage.needs(unit.options)
        return [name for name in unit.stage.inputs if name in needs and name in self.makers]

    def assess(self, unit: Unit, pending: Mapping[str, str] = {}) -> Assessment:
        """Assess one unit; cached until `refresh`.

        Args:
            unit: the unit.
            pending: outputs that will be made anew before it, with the label of their unit.
        """
        if pending:
            return self._assess(unit, pending)
        if unit.label not in self._known:
            self._known[unit.label] = self._assess(unit, {})
        return self._known[unit.label]

    def refresh(self) -> None:
        """Drop cached assessments, because files may have changed."""
        self._known.clear()

    def _assess(self, unit: Unit, pending: Mapping[str, str]) -> Assessment:
        paths: InputPaths = dict.fromkeys(unit.stage.inputs)
        digests: dict[str, Any] = {}
        stale: list[str] = []  # units whose outdated results are used as they are
        waiting: list[str] = []
        for name in self.inputs_of(unit):
            results = {u.name: self.published(u) for u in self.units_of(self.makers[name])}
            folders = {n: a.folder for n, a in results.items() if a is not None}
            for each in filter(None, results.values()):
                stale += [each.unit.label] if each.state == "stale" else each.stale
            if name in pending or len(folders) < len(results):
                waiting.append(f"{pending.get(name, name)} comes first")
                continue
            records = {n: read_record(folder) for n, folder in folders.items()}
            sums = {n: record.digest for n, record in records.items() if record}
            many = unit.stage.inputs[name] == "InMany"
            paths[name] = folders if many else next(iter(folders.values()))
            digests[name] = sums if many else next(iter(sums.values()))
        if waiting:
            return Assessment(unit, "run", waiting, paths=paths)
        return replace(
            self._compare(unit, self._parts(unit, digests), paths), stale=sorted(set(stale))
        )

    def own_changes(self, unit: Unit) -> list[str]:
        """Differences from the unit's newest result, apart from its inputs."""
        last = read_record(unit.home / "latest")
        inputs = last.parts.get("inputs") if last else None
        if last is None or not isinstance(inputs, dict):
            return []
        return _differing(unit, last, self._parts(unit, inputs))

    def published(self, unit: Unit) -> Assessment | None:
        """Assessment of a unit if its result is up to date or may be stale, else None."""
        assessment = self.assess(unit)
        if assessment.state == "done":
            return assessment
        folder = unit.latest
        record = read_record(folder) if unit.number < self.stale_before else None
        if record is None or first_damage(folder, record) is not None:
            return None
        return replace(assessment, state="stale", folder=folder)

    def _parts(self, unit: Unit, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Dependencies of a result, by kind."""
        stage = unit.stage
        outside = sorted(_external_options(unit) - stage.unkeyed)
        modules = [stage.function.__module__, *_plugin_modules(unit, inputs)]
        code, libraries = code_fingerprint(modules)
        return {
            "stage": stage.name,
            "version": stage.version,
            "options": _keyed_options(unit, defaults=True),
            "files": {
                name: self.external_files.digest(getattr(unit.options, name)) for name in outside
            },
            "inputs": dict(inputs),
            "code": code,
            "libraries": libraries,
        }

    def _compare(self, unit: Unit, parts: dict[str, Any], paths: InputPaths) -> Assessment:
        """Look up the result of a key; without one, explain what changed since the last."""
        keyed = {**parts, "options": _keyed_options(unit)}
        if unit.stage.precious:  # a week of training outlives an edit; the change is reported
            del keyed["code"], keyed["libraries"]
        key = json_digest(keyed)[:12]
        broken: tuple[Path, str] | None = None
        for folder, record, reached in find_candidates(unit, key):
            if unit.budget is not None and reached < unit.budget:
                continue
            if record is None:
                broken = broken or (folder, f"{DAMAGED_REASON}: {UNREADABLE}")
                continue
            problem = first_damage(folder, record)
            if problem is None:
                remarks = _remarks(unit, record, parts)
                return Assessment(unit, "done", remarks, key, parts, folder, paths)
            broken = broken or (folder, f"{DAMAGED_REASON}: {problem}")
        if broken:
            return Assessment(unit, "run", [broken[1]], key, parts, broken[0], paths)
        folder = unit.home / (key if unit.budget is None else f"{key}-{unit.budget}")
        return Assessment(unit, "run", _changes(unit, parts, key), key, parts, folder, paths)

    def _check_inputs(self, stage: Stage) -> None:
        for name, kind in stage.inputs.items():
            if name not in self.makers and kind == "In":
                raise WavewrightError(
                    f"{self.recipe.path}: stage '{stage.name}' reads '{name}', which no stage of "
                    f"this recipe makes; stages: {', '.join(self.recipe.stages)}"
                )
            maker = self.makers.get(name)
            if maker and self.stages.index(maker) >= self.stages.index(stage):
                raise WavewrightError(
                    f"{self.recipe.path}: stage '{stage.name}' reads '{name}', which "
                    f"'{maker.name}' makes only after it; change the order in `stages`"
                )

    def _check_needs(self, unit: Unit) -> None:
        """Refuse options that name an input, optional otherwise, which nobody makes."""
        if unit.stage.uses is None:
            return
        lacking = sorted(unit.stage.needs(unit.options) - self.makers.keys())
        if lacking:
            raise WavewrightError(
                f"{self.recipe.path}: stage '{unit.stage.name}' with these options reads "
                f"'{lacking[0]}', which no stage of this recipe makes; stages: "
                f"{', '.join(self.recipe.stages)}"
            )


def _external_options(unit: Unit) -> set[str]:
    """Options that name files outside the recipe's results."""
    return {name for name, value in unit.options if isinstance(value, Path)}


def _keyed_options(unit: Unit, *, defaults: bool = False) -> dict[str, Any]:
    """Options that can change the result.

    Values at their default are no part of the key, so that an option, or a field of MelSpec, that
    is added later leaves results valid; a changed default shows in the code's digest.
    """
    stage = unit.stage
    dropped = stage.unkeyed | _external_options(unit) | ({stage.budget} if stage.budget else set())
    values = unit.options.model_dump(mode="json", exclude_defaults=not defaults)
    return {name: value for name, value in values.items() if name not in dropped}


def _plugin_modules(unit: Unit, inputs: Mapping[str, Any]) -> list[str]:
    """Modules of the plugins that a unit's options and inputs name."""
    named = [
        ("vocoders", getattr(unit.options, "name", None)),
        ("acoustic", getattr(unit.options, "model", None)),
        *(("vocoders", name) for name in getattr(unit.options, "baselines", ())),
        *(("metrics", name) for name in getattr(unit.options, "metrics", ())),
        *(
            ("vocoders", name)
            for digests in inputs.values()
            if isinstance(digests, dict)
            for name in digests
        ),
    ]
    return [
        registry.module_of(group, name.partition(":")[0])
        for group, name in named
        if isinstance(name, str)
    ]


def find_candidates(unit: Unit, key: str) -> list[tuple[Path, StageRecord | None, int]]:
    """Published results of a key, their record if it can be read, and how far each went.

    The smallest budget comes first; the folder's name has it too.
    """
    results = []
    for folder in unit.home.glob(f"{key}*"):
        named = re.fullmatch(rf"{key}(?:-(\d+))?", folder.name)
        if named is None or not folder.is_dir():
            continue
        record = read_record(folder)
        if record is None or record.key == key:
            results.append((folder, record, int(named[1] or 0)))
    return sorted(results, key=lambda one: one[2])


def _remarks(unit: Unit, record: StageRecord, parts: Mapping[str, Any]) -> list[str]:
    """Remarks on a result that is reused although something changed."""
    remarks = []
    if unit.budget is not None and (record.budget or 0) > unit.budget:
        remarks.append(f"has {record.budget} steps, more than the {unit.budget} asked for")
    if unit.stage.precious:
        before, now = record.parts.get("libraries"), parts["libraries"]
        moved = ["code changed"] if record.parts.get("code") != parts["code"] else []
        moved += format_changes(before if isinstance(before, dict) else {}, now)
        if moved:
            remarks.append(f"{', '.join(moved)} since; --force trains again")
    return remarks


def _changes(unit: Unit, parts: Mapping[str, Any], key: str) -> list[str]:
    """Differences from the unit's newest result."""
    if unit.budget is not None and (smaller := find_candidates(unit, key)):
        return [f"continues from {smaller[-1][2]} to {unit.budget} steps"]
    last = read_record(unit.home / "latest")
    if last is None:
        there = (unit.home / "latest").is_dir()
        return [f"of its last result {UNREADABLE}" if there else "not made yet"]
    return _differing(unit, last, parts) or ["its result is gone"]


def _differing(unit: Unit, last: StageRecord, parts: Mapping[str, Any]) -> list[str]:
    """Describe every changed part, one short sentence each."""
    before, now = dict(flatten(last.parts)), dict(flatten(dict(parts)))
    changed = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        kind, _, rest = name.partition(".")
        if kind in ("code", "files", "inputs"):
            if kind != "code" or not unit.stage.precious:
                changed.append(f"{_KIND_LABELS.get(kind, kind)} {rest} changed")
        elif kind != "libraries" or not unit.stage.precious:
            changed += format_changes(
                {rest or name: before.get(name)}, {rest or name: now.get(name)}
            )
    return changed
