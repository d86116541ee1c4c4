"""Every option of every stage, changed one at a time: exactly what depends on it runs again.

The mini recipe's results are made up here, with true records, so that each of the changes costs
milliseconds; what the runner makes of such a plan, tests/recipes tries with real stages.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wavewright.io import fingerprint
from wavewright.mel.spec import MelSpec
from wavewright.runner.plan import Plan
from wavewright.runner.recipe import load_recipe
from wavewright.runner.run import RunRequest, print_overview
from wavewright.runner.store import open_partial, publish

AFTER = {
    "download": ["prepare", "mels", "acoustic", "gta", "train", "evaluate"],
    "prepare": ["mels", "acoustic", "gta", "train", "evaluate"],
    "mels": ["acoustic", "gta", "train", "evaluate"],
    "acoustic": ["gta", "train", "evaluate"],
    "gta": ["train", "evaluate"],
    "train": ["evaluate"],
    "evaluate": [],
}
TRAINING: dict[str, Any] = {
    "config": {"learning_rate": 5e-4},
    "init_from": "other.txt",
    "batch_size": 3,
    "validation_utterances": 3,
    "max_steps": 9999,
}
CHANGED: dict[str, dict[str, Any]] = {
    "download": {
        "source": "other.txt",
        "layout": "kaldi",
        "url": "https://example.org/corpus.tar",
        "sha256": "ab" * 32,
        "size": 5,
        "sentences": "other.txt",
        "prefix": "other",
        "voice": "en-gb",
        "words_per_minute": 170,
        "follow_links": True,
    },
    "prepare": {
        "sample_rate": 24000,
        "columns": ["id", "normalised"],
        "speaker": "other",
        "speaker_pattern": "(.*)",
        "text_pattern": "(.*)",
        "channel": "mean",
        "remove_offset": True,
        "trim": "energy",
        "margin": 0.06,
        "top_db": 36.0,
        "level": "peak",
        "target_dbfs": -24.0,
        "ceiling": 0.9,
        "minimum_seconds": 0.2,
        "maximum_seconds": 21.0,
        "text_rules": "english",
        "unknown_symbols": "flag",
        "require_text": True,
        "phones_tier": "phone",
        "words_tier": "word",
        "splits": "hash",
        "lists": ".",
        "dev": 9,
        "test": 9,
        "speaker_disjoint": True,
        "share_texts": True,
        "max_quarantine": 0.02,
        "encoding": "flac",
        "shard_size": 100,
        "title": "other",
    },
    "mels": {},
    "acoustic": TRAINING
    | {"seed": 5, "model": "tacotron2", "longest_seconds": 9.0, "spoken_utterances": 3},
    "gta": {
        "seed": 5,
        "source": ".",
        "mel_preset": "hifigan",
        "layout": "frames_first",
        "stats": "other.txt",
        "length": "trim",
        "on_missing": "natural",
        "least_diagonality": 0.5,
        "on_bad_alignment": "refuse",
        "dropout_samples": 2,
        "batch_size": 3,
    },
    "train": TRAINING
    | {
        "seed": 5,
        "vocoders.hifigan:small.config": {"learning_rate": 5e-4},
        "features": "natural",
        "gta_start": 1300,
        "gta_learning_rate": 1e-4,
        "adversary_start": 1300,
        "segment_length": 4096,
        "crops_per_utterance": 2,
        "ema_decay": 0.9,
        "best_by": "latest",
    },
    "evaluate": {
        "seed": 5,
        "title": "other",
        "corpus": "other",
        "note": "other",
        "split": "dev",
        "utterances": 3,
        "baselines": [],
        "anchors": [],
        "metrics": ["mel_l1"],
        "max_seconds": 3.0,
        "dev_utterances": 3,
        "speed_seconds": 3.0,
        "speed_repeats": 3,
        "max_players": 3,
        "max_megabytes": 3.0,
        "precision": "bf16",
        "refine": 3,
    },
}
_WATCH = {"on_bad_step": "skip", "loss_spike": 50.0, "max_bad_steps": 3, "max_restarts": 1}
_LOOP = {
    "checkpoint_every": 7,
    "keep_checkpoints": 3,
    "log_every": 7,
    "workers": 2,
    "device": "cpu",
    "precision": "bf16",
    "accumulate": 2,
    "deterministic": True,
    "profile": 3,
    "gpus": 2,
    "nodes": 2,
    "rendezvous": "here:1",
    **_WATCH,
}
HARMLESS: dict[str, dict[str, Any]] = {
    "download": {"archives": "archives", "mirrors": ["https://elsewhere.example.org/a.tar"]},
    "prepare": {"jobs": 3},
    "mels": {"jobs": 3},
    "acoustic": _LOOP,
    "gta": {"jobs": 3, "gpus": 2, "device": "cpu"},
    "train": {**_LOOP, "compute_mels": True, "logged_utterances": 2},
    "evaluate": {"jobs": 3, "device": "cpu"},
}
MEL: dict[str, Any] = {
    "sample_rate": 24000,
    "n_fft": 2048,
    "hop_length": 128,
    "win_length": 512,
    "window_periodic": False,
    "n_mels": 64,
    "fmin": 20.0,
    "fmax": 7600.0,
    "mel_scale": "htk",
    "mel_norm": None,
    "power": 2,
    "log": "log10",
    "floor": 1e-4,
    "guard": "add",
    "magnitude_eps": 1e-8,
    "magnitude_guard": "clamp",
    "framing": "center",
    "pad_mode": "constant",
}
_NOT_ALONE = {"window", "normalisation", "layout", "wav_steps", "target_steps"}
"""Fields of a mel with one value or with fields of their own, or that a recipe may not set."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The mini recipe with a made-up result of every stage."""
    folder = tmp_path_factory.mktemp("keys") / "mini"
    shutil.copytree(root / "recipes" / "mini", folder, ignore=shutil.ignore_patterns("exp"))
    (folder / "other.txt").write_text("other")
    pretend(plan_of(folder))
    assert running(plan_of(folder)) == []
    return folder


def plan_of(folder: Path, *changes: str) -> Plan:
    return Plan(load_recipe(folder, changes))


def pretend(plan: Plan) -> None:
    """Publish a result for every unit, as if its function had run."""
    for unit in plan.units:
        assessment = plan.assess(unit)
        partial = open_partial(assessment, force=False)
        (partial / "result.txt").write_text(unit.label)
        publish(plan.recipe.work_dir, assessment, partial, 1.0)
        plan.refresh()


def running(plan: Plan, said: list[str] | None = None) -> list[str]:
    """Names of the stages that would run."""
    lines = [] if said is None else said
    units = print_overview(plan, 0, len(plan.stages) - 1, RunRequest(explain=True), lines.append)
    return [unit.stage.name for unit in units]


def assignment(place: str, value: Any) -> str:
    return f"{place}={'null' if value is None else value}"


def cases(table: dict[str, dict[str, Any]]) -> Iterator[Any]:
    for stage, options in table.items():
        for name, value in options.items():
            yield pytest.param(stage, name, value, id=f"{stage}.{name}")


def test_the_table_has_every_option_there_is(made: Path) -> None:
    """A new option of a stage has to be put into one of the tables above."""
    for stage in plan_of(made).stages:
        listed = {name.partition(".")[0] for name in CHANGED[stage.name]} - {"vocoders"}
        shared = {"mel", "name"} & stage.options.model_fields.keys()
        assert listed | shared == stage.options.model_fields.keys() - stage.unkeyed, stage.name
        assert HARMLESS[stage.name].keys() == stage.unkeyed, stage.name
    assert MEL.keys() | _NOT_ALONE == MelSpec.model_fields.keys()


@pytest.mark.parametrize(("stage", "name", "value"), [*cases(CHANGED)])
def test_a_changed_option_reruns_its_stage_and_what_reads_it(
    made: Path, stage: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    said: list[str] = []
    place = f"{stage}.{name}"
    expected = [stage, *AFTER[stage]]
    if place == "train.config":
        place = f"{stage}.vocoders.hifigan:small.{name}"
    found = running(plan_of(made, assignment(place, value)), said)
    assert found == expected
    reason = next(line for line in said if f" {stage}" in line)
    words = name.rpartition(".")[2]
    assert words in reason or "steps" in reason, "the option is named"


@pytest.mark.parametrize(("stage", "name", "value"), [*cases(HARMLESS)])
def test_what_cannot_change_a_result_reruns_nothing(
    made: Path, stage: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert running(plan_of(made, assignment(f"{stage}.{name}", value))) == []


@pytest.mark.parametrize("name", MEL)
def test_a_changed_mel_reruns_what_has_mels(made: Path, name: str) -> None:
    """Corpus and audio depend only on the sample rate."""
    expected = ["mels", *AFTER["mels"]]
    change = [assignment(f"mel.{name}", MEL[name])]
    found = running(plan_of(made, *change))
    assert found == (["prepare", *expected] if name == "sample_rate" else expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("seed=5", ["acoustic", "gta", "train", "evaluate"]),
        ("recipe=other", []),
        ("about=Something else.", []),
        ("train.max_steps=800", []),
    ],
)
def test_the_recipes_head(made: Path, change: str, expected: list[str]) -> None:
    assert running(plan_of(made, change)) == expected


def test_kept_archives_are_no_part_of_what_came_out_of_them(tmp_path: Path, made: Path) -> None:
    """The stage itself puts them there, after its key was made."""
    change = f"download.archives={tmp_path / 'archives'}"
    assert running(plan_of(made, change)) == []
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "corpus.tar").write_text("fetched")
    assert running(plan_of(made, change)) == []


@pytest.mark.parametrize(
    ("library", "stages"),
    [("scipy", {"mels"}), ("torch", {"mels", "gta"}), ("soundfile", {"prepare", "mels"})],
)
def test_an_upgrade_is_explained_by_every_stage_that_uses_it(
    made: Path, library: str, stages: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = fingerprint._version
    old = ".".join(installed(library).split(".")[:2])
    monkeypatch.setattr(
        fingerprint, "_version", lambda name: "99.3.1" if name == library else installed(name)
    )
    said: list[str] = []
    plan = plan_of(made)
    running(plan, said)
    named = {
        unit.stage.name
        for unit, line in zip(plan.units, said, strict=True)
        if f"{library} {old} -> 99.3" in line and "will run" in line
    }
    uses = {
        stage.name
        for stage in plan.stages
        if library in fingerprint.code_fingerprint([stage.function.__module__])[1]
    }
    assert stages <= uses
    assert named == {name for name in uses if name not in ("acoustic", "train")}
