"""Recipes are read strictly: every mistake has a file, a line, a field, and what is allowed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from wavewright import registry
from wavewright.errors import UnknownName, WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.runner.plan import Plan
from wavewright.runner.recipe import copy_recipe, find_recipe, load_recipe, shipped_recipes
from wavewright.training.fit_to_mel import fit, read_mel

RECIPE = """\
recipe: test
about: A recipe to break.
work_dir: exp
seed: 1234
mel:
  preset: hifigan
  fmax: 7600
stages: [download, prepare, mels, train]
download:
  source: corpus
mels: {}
prepare:
  shard_size: 4
train:
  max_steps: 10
  vocoders:
    hifigan:v2: {}
    hifigan:v3: {batch_size: 4}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def options(plan: Plan, label: str) -> dict[str, Any]:
    """Options of the unit with this label."""
    (unit,) = (unit for unit in plan.units if unit.label == label)
    return {name: getattr(unit.options, name) for name in type(unit.options).model_fields}


def refusal(path: Path, *changes: str) -> str:
    """Error message of reading and planning the recipe."""
    with pytest.raises(WavewrightError) as caught:
        Plan(load_recipe(path, changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def broken(path: Path, old: str, new: str, *changes: str) -> str:
    """Error message of a recipe with one passage replaced."""
    assert RECIPE.count(old) == 1
    path.write_text(RECIPE.replace(old, new))
    return refusal(path, *changes).replace(str(path), "recipe.yaml")


def test_a_good_recipe_becomes_options(recipe: Path) -> None:
    plan = Plan(load_recipe(recipe))
    assert [unit.label for unit in plan.units] == [
        "0 download",
        "1 prepare",
        "2 mels",
        "3 train hifigan:v2",
        "3 train hifigan:v3",
    ]
    mel = MelSpec.model_validate({"preset": "hifigan", "fmax": 7600})
    assert options(plan, "2 mels")["mel"] == mel
    assert options(plan, "1 prepare")["shard_size"] == 4
    assert options(plan, "3 train hifigan:v2")["batch_size"] == 16
    assert options(plan, "3 train hifigan:v3")["batch_size"] == 4
    assert options(plan, "3 train hifigan:v3")["seed"] == 1234
    assert plan.recipe.work_dir == recipe.parent / "exp"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "shard_size: 4",
            "shard_sise: 4",
            "recipe.yaml:13: unknown field prepare.shard_sise. Did you mean 'shard_size'? "
            "Allowed: sample_rate, columns, speaker, ",
        ),
        (
            "shard_size: 4",
            "shard_size: many",
            "recipe.yaml:13: prepare.shard_size: Input should be a valid integer, unable to parse "
            "string as an integer, found 'many'",
        ),
        (
            "shard_size: 4",
            "shard_size: 0",
            "recipe.yaml:13: prepare.shard_size: Input should be greater than 0, found 0",
        ),
        (
            "seed: 1234",
            "seed: -1",
            "recipe.yaml:4: seed: Input should be greater than or equal to 0, found -1",
        ),
        ("seed: 1234\n", "", "recipe.yaml: seed is required and missing"),
        ("  max_steps: 10\n", "", "recipe.yaml:14: train.max_steps is required and missing"),
        (
            "mel:\n  preset: hifigan\n  fmax: 7600",
            "mel: {preset: hifigan, fmx: 7600}",
            "recipe.yaml:5: unknown field mel.fmx. Did you mean 'fmax'? Allowed: "
            + ", ".join(MelSpec.model_fields)
            + ".",
        ),
        (
            "fmax: 7600",
            "fmax: 16000",
            "recipe.yaml:5: mel: need fmin < fmax <= sample_rate / 2, found 0, 16000 and 11025",
        ),
        (
            "fmax: 7600",
            "hop_size: 256",
            "recipe.yaml:5: mel: 'hop_size' is called 'hop_length' here",
        ),
        (
            "{batch_size: 4}",
            "{batch_size: 0}",
            "recipe.yaml:18: train.vocoders.hifigan:v3.batch_size: Input should be greater than "
            "0, found 0",
        ),
        (
            "{batch_size: 4}",
            "4",
            "recipe.yaml:18: train.vocoders.hifigan:v3 must map options to values, found 4",
        ),
        (
            "  vocoders:\n    hifigan:v2: {}\n    hifigan:v3: {batch_size: 4}\n",
            "",
            "recipe.yaml:14: train.vocoders must map at least one name to its options, such as "
            "`hifigan:v3: {}`; found None",
        ),
        ("mels: {}", "mels: 3", "recipe.yaml:11: mels must map options"),
        (
            "stages: [download, prepare, mels, train]",
            "stages: [download, prepare, mels]",
            "recipe.yaml:14: unknown field train. ",
        ),
        (
            "stages: [download, prepare, mels, train]",
            "stages: [download, prepare, mels, mels, train]",
            "recipe.yaml:8: stages: 'mels' is there more than once",
        ),
        (
            "stages: [download, prepare, mels, train]",
            "stages: [download, mels, prepare, train]",
            "recipe.yaml: stage 'mels' reads 'prepared', which 'prepare' makes only after it",
        ),
        (
            "stages: [download, prepare, mels, train]\ndownload:\n  source: corpus\n",
            "stages: [prepare, mels, train]\n",
            "recipe.yaml: stage 'prepare' reads 'corpus', which no stage of this recipe makes",
        ),
        ("about: A recipe to break.", "about: [1]", "recipe.yaml:2: about: "),
    ],
)
def test_a_mistake_has_a_line_a_field_and_what_is_allowed(
    recipe: Path, old: str, new: str, expected: str
) -> None:
    assert broken(recipe, old, new).startswith(expected)


def test_an_unknown_preset_lists_the_known(recipe: Path) -> None:
    found = broken(recipe, "preset: hifigan", "preset: hifigen")
    assert found.startswith("recipe.yaml:5: mel: unknown mel preset 'hifigen'. Did you mean")


def test_an_unknown_stage_lists_the_known(recipe: Path) -> None:
    found = broken(recipe, "mels, train]\n", "mels, trian]\n").partition(" Allowed")[0]
    assert found == "recipe.yaml:14: unknown field train. Did you mean 'trian'?"
    recipe.write_text(RECIPE.partition("train:")[0].replace("train]", "trian]"))
    assert "unknown name 'trian' in stages. Did you mean 'train'?" in refusal(recipe)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RECIPE + "seed: 2\n", ':19: not valid YAML: found duplicate key "seed"'),
        (
            RECIPE.replace("fmax: 7600", "fmax: 7600\n  fmax: 8000"),
            ':8: not valid YAML: found duplicate key "fmax"',
        ),
        ("mel:\n\tfmax: 3\n", ":2: not valid YAML"),
        ("mel: [1, 2\n", "not valid YAML"),
        ("about: 2024-99-99\n", "not valid YAML"),
        ("[" * 600 + "]" * 600, "not valid YAML: maximum recursion depth"),
        ("- 1\n- 2\n", "a recipe must map fields to values"),
        ("", "a recipe must map fields to values"),
        ("a: 1\n" * 300_000, "larger than 1000000 bytes"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(recipe: Path, text: str, words: str) -> None:
    recipe.write_text(text)
    found = refusal(recipe)
    assert found.startswith(str(recipe))
    assert words in found
    assert len(found) < 300


def test_bytes_that_are_no_text_are_refused(recipe: Path) -> None:
    recipe.write_bytes(b"\xff\xfe\x00recipe")
    assert "not a readable UTF-8 text" in refusal(recipe)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("seed: 1234", "seed: &x 1234", 4),
        ("seed: 1234", 'seed: !!int "1234"', 4),
        ("seed: 1234", "seed: !mine 1234", 4),
        ("mels: {}", "mels: {dev: &x 1, test: *x}", 11),
        ("mels: {}", 'mels: {"dev": 1, "test": &x 1}', 11),
        ("[download, prepare, mels, train]", "[&x download, prepare, mels, train]", 8),
        ("[download, prepare, mels, train]", '["download", !!str prepare, mels, train]', 8),
        (
            "stages: [download, prepare, mels, train]",
            "stages:\n  - download\n  - &x prepare\n  - mels\n  - train",
            10,
        ),
        ("mel:\n  preset", "mel: !!map\n  preset", 5),
        ("  preset: hifigan", "  <<: {preset: &x hifigan}", 6),
        ("about: A recipe to break.", "about: !!python/object/apply:os.getcwd []", 2),
    ],
)
def test_tags_anchors_and_aliases_are_refused_everywhere(
    recipe: Path, old: str, new: str, line: int
) -> None:
    found = broken(recipe, old, new)
    assert found == f"recipe.yaml:{line}: YAML tags, anchors and aliases are not allowed"


@pytest.mark.parametrize(
    "about",
    [
        "this - *really* good",
        "'!!python is what &this is not: *x'",
        "|\n  note: !important\n  - &anchor: *alias",
        ">-\n  read: &me",
    ],
)
def test_words_that_look_like_anchors_are_words(recipe: Path, about: str) -> None:
    recipe.write_text(RECIPE.replace("A recipe to break.", about))
    assert "*" in load_recipe(recipe).about or "&" in load_recipe(recipe).about


@pytest.mark.parametrize(
    ("written", "value"), [("1e-4", 1e-4), ("8e3", 8000.0), ("1E-10", 1e-10), ("7600", 7600.0)]
)
def test_exponents_are_numbers(recipe: Path, written: str, value: float) -> None:
    recipe.write_text(RECIPE.replace("fmax: 7600", f"floor: {written}"))
    assert options(Plan(load_recipe(recipe)), "2 mels")["mel"].floor == value


def test_no_and_off_are_words(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("A recipe to break.", "no"))
    assert load_recipe(recipe).about == "no"


def test_set_changes_values_of_every_depth(recipe: Path) -> None:
    changes = (
        "seed=7",
        "mel.fmax=7000",
        "train.batch_size=2",
        "train.vocoders.hifigan:v3.batch_size=8",
        "train.config.mel_weight=1e1",
    )
    plan = Plan(load_recipe(recipe, changes))
    assert options(plan, "2 mels")["mel"].fmax == 7000.0
    assert options(plan, "3 train hifigan:v2")["batch_size"] == 2
    assert options(plan, "3 train hifigan:v3")["batch_size"] == 8
    assert options(plan, "3 train hifigan:v3")["seed"] == 7
    assert options(plan, "3 train hifigan:v2")["config"] == {"mel_weight": 10.0}
    assert plan.recipe.changes == changes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("prepare.shard_size", "--set prepare.shard_size: expected FIELD=VALUE"),
        ("=3", "--set =3: expected FIELD=VALUE"),
        ("seed=[1", "--set seed=[1: the value is not valid YAML"),
        ("seed=!!python/object:os.x 1", "--set seed=!!python/object:os.x 1: the value is not"),
        ("seed.deep=1", "--set seed.deep=1: seed is 1234, which has no fields"),
        (
            "prepare.shard_size=many",
            "--set prepare.shard_size: prepare.shard_size: Input should be a valid",
        ),
        ("mels.shards=3", "--set mels.shards: unknown field mels.shards. Allowed: mel, jobs"),
        ("mles.shard_size=3", "--set mles.shard_size: unknown field mles. Did you mean 'mels'?"),
        ("train.vocoders.hifigan:v3.x=3", "--set train.vocoders.hifigan:v3.x: unknown field"),
    ],
)
def test_a_wrong_set_says_that_it_was_the_command_line(
    recipe: Path, change: str, expected: str
) -> None:
    assert refusal(recipe, change).startswith(expected)


def test_set_elsewhere_does_not_blame_the_command_line(recipe: Path) -> None:
    found = broken(recipe, "shard_size: 4", "shard_size: many", "seed=3")
    assert found.startswith("recipe.yaml:13: prepare.shard_size")


def test_paths_start_from_the_recipe_or_from_the_caller(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    plan = Plan(load_recipe(recipe))
    assert options(plan, "0 download")["source"] == tmp_path / "corpus"
    assert plan.recipe.work_dir == tmp_path / "exp"
    plan = Plan(load_recipe(recipe, ["download.source=mine", "work_dir=out"]))
    assert options(plan, "0 download")["source"] == elsewhere / "mine"
    assert plan.recipe.work_dir == elsewhere / "out"
    plan = Plan(load_recipe(recipe, [f"download.source={tmp_path / 'abs'}"]))
    assert options(plan, "0 download")["source"] == tmp_path / "abs"


def test_paths_are_the_recipes_even_in_its_own_folder(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's folder is the recipe's: still the command line is told from the file."""
    monkeypatch.chdir(tmp_path)
    assert refusal(recipe, "prepare.shard_size=x").startswith("--set prepare.shard_size")


def test_a_home_directory_is_understood(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    plan = Plan(load_recipe(recipe, ["download.source=~/corpus"]))
    assert options(plan, "0 download")["source"] == Path("/home/somebody/corpus")


def test_vocoders_of_the_command_line_replace_those_of_the_recipe(recipe: Path) -> None:
    plan = Plan(load_recipe(recipe), vocoders=["hifigan:v3", "hifigan:v1"])
    assert [unit.name for unit in plan.units if unit.stage.name == "train"] == [
        "hifigan:v3",
        "hifigan:v1",
    ]
    assert options(plan, "3 train hifigan:v3")["batch_size"] == 4
    assert options(plan, "3 train hifigan:v1")["batch_size"] == 16


def test_recipes_are_found_by_path_folder_and_shipped_name(recipe: Path) -> None:
    assert find_recipe(recipe) == find_recipe(recipe.parent) == recipe
    assert find_recipe("mini") == shipped_recipes()["mini"]
    with pytest.raises(UnknownName, match=r"no recipe 'minni'\. Did you mean 'mini'\?"):
        find_recipe("minni")


def test_a_copied_recipe_is_whole_and_its_own(tmp_path: Path) -> None:
    folder = copy_recipe("mini", tmp_path / "mine")
    assert load_recipe(folder).work_dir == folder / "exp"
    assert not (folder / "exp").exists()
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert "wavewright run" in (folder / "run.sh").read_text()
    with pytest.raises(WavewrightError, match="exists already"):
        copy_recipe("mini", folder)


def corpus_configs() -> dict[str, str]:
    """Expected outcome of each file of ../shared/corpora/bad-input/config."""
    return {
        "good.yaml": "",
        "exponent-string.yaml": "",
        "hop-product-mismatch.yaml": "multiply to 512",
        "fmax-over-nyquist.yaml": "fmax",
        "fmin-over-fmax.yaml": "fmin < fmax",
        "hop-zero.yaml": "hop_length",
        "string-number.yaml": "n_mels",
        "unknown-key.yaml": "hop_lenght",
        "duplicate-key.yaml": "duplicate key",
        "tab-indent.yaml": "not valid YAML",
        "empty.yaml": "must map fields",
        "list-not-map.yaml": "must map fields",
        "alias-bomb.yaml": "aliases are not allowed",
    }


@pytest.mark.parametrize("name", corpus_configs())
def test_bad_configurations_are_refused_with_the_field(
    shared: Path, recipe: Path, name: str
) -> None:
    """The files' flat keys are the mel's; `upsample_scales` is the vocoder's upsample_rates."""
    folder = shared / "corpora" / "bad-input" / "config"
    text = (folder / name).read_text()
    rates = None
    if "upsample_scales" in text:
        lines = text.splitlines()
        rates = json.loads(next(line for line in lines if "scales" in line).split(":")[1])
        inner = "\n".join(f"  {line}" for line in lines if "scales" not in line)
        text = RECIPE.replace("  preset: hifigan\n  fmax: 7600", inner)
    recipe.write_text(text)
    words = corpus_configs()[name]
    if not words:
        assert options(Plan(load_recipe(recipe)), "2 mels")["mel"].fmax == 8000.0
    elif rates == [8, 8, 4, 2]:
        with pytest.raises(WavewrightError, match=words):
            registry.create_vocoder("hifigan", upsample_rates=rates)
    else:
        assert words in refusal(recipe)


def test_every_bad_configuration_is_accounted_for(shared: Path) -> None:
    folder = shared / "corpora" / "bad-input" / "config"
    assert {path.name for path in folder.iterdir()} == corpus_configs().keys()


@pytest.mark.parametrize(
    "name", ["hifigan", "hifigan:v3", "melgan", "multiband_melgan", "vocos", "bigvgan"]
)
@pytest.mark.parametrize("preset", MelSpec.presets())
def test_every_vocoder_is_fitted_to_every_mel(name: str, preset: str) -> None:
    """Proposed configurations are accepted, and are the published ones where those fit."""
    mel = MelSpec.preset(preset)
    fitted = fit(name, mel)
    assert fitted.config.mel == mel.bands_first
    assert fitted.segment_length % mel.hop_length == 0
    rates = getattr(fitted.config, "upsample_rates", None)
    if rates is not None:
        bands = getattr(fitted.config, "bands", 1)
        assert math.prod(rates) * bands == mel.hop_length
    if mel.hop_length == 256:
        assert fitted.changes == {}


def test_a_mel_that_nothing_fits_is_explained(tmp_path: Path) -> None:
    mel = MelSpec.preset("tacotron2").model_copy(update={"hop_length": 257, "framing": "center"})
    with pytest.raises(WavewrightError, match=r"^hifigan: hop_length 257 is no product of"):
        fit("hifigan", mel)


def test_a_mel_is_read_from_a_preset_or_a_file(tmp_path: Path) -> None:
    assert read_mel("hifigan") == MelSpec.preset("hifigan")
    file = tmp_path / "mel.yaml"
    file.write_text("preset: hifigan\nhop_length: 200\nsample_rate: 16000\n")
    assert read_mel(str(file)).hop_length == 200
    file.write_text("preset: hifigan\nhop_lenght: 200\n")
    with pytest.raises(WavewrightError, match=r"yaml: unknown field 'hop_lenght'\. Did you"):
        read_mel(str(file))
    with pytest.raises(WavewrightError, match=r"none\.yaml: no such file"):
        read_mel(str(tmp_path / "none.yaml"))
