"""The command: exit codes, errors of one sentence, help with an example everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import wavewright
from tests.support import tiny
from tests.support.listeners import attentive, session, write_systems
from wavewright.audio.files import from_pcm16, load_wav, save_wav
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.cli import app as cli
from wavewright.errors import Locked, Stale
from wavewright.evaluation.listening.design import read_key
from wavewright.mel.spec import MelSpec
from wavewright.vocoders.hifigan import HiFiGANConfig

COMMANDS = [name for commands in cli.COMMANDS.values() for name in commands]


class Command:
    """Runs `wavewright ARGUMENTS` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self.monkeypatch.setattr(sys, "argv", ["wavewright", *arguments])
        self.monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = self.capsys.readouterr()
        assert isinstance(caught.value.code, int | None)
        return caught.value.code or 0, out, err

    def error(self, *arguments: str) -> str:
        """The sentence on stderr of a command that must be refused."""
        code, out, err = self(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").strip()


@pytest.fixture
def wavewright_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.delenv("WAVEWRIGHT_DEBUG", raising=False)
    return Command(capsys, monkeypatch)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    save_wav(tmp_path / "in.wav", from_pcm16(tiny.tone("tone3")), 8000)
    return str(tmp_path / "in.wav")


def test_help_lists_every_command_with_its_whole_summary(wavewright_command: Command) -> None:
    code, out, _ = wavewright_command("--help")
    assert code == 0
    for group, commands in cli.COMMANDS.items():
        section = out.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        for name, function in commands.items():
            summary = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
            assert f"{name} {summary}" in " ".join(section.split())
    assert "..." not in out.partition("Usage")[2].partition("\n")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_one_a_line(wavewright_command: Command, name: str) -> None:
    code, out, _ = wavewright_command(name, "--help")
    assert code == 0
    examples = out.partition("\nExamples:\n")[2].splitlines()
    assert examples
    assert all(f"wavewright {name}" in line for line in examples)


def test_help_groups_the_options(wavewright_command: Command) -> None:
    _, out, _ = wavewright_command("run", "--help")
    groups = [line for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert groups == [
        "Recipe:",
        "Which stages:",
        "Look before you run:",
        "Machines and processes:",
        "Options:",
        "Examples:",
    ]


def test_the_version_is_printed(wavewright_command: Command) -> None:
    assert wavewright_command("--version") == (0, wavewright.__version__ + "\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["vocode"],
        ["vocode", "--checkpoint", "griffinlim", "--mel", "a.npy"],
        ["run"],
        ["run", "mini", "--jobs", "0"],
        ["run", "mini", "--no-such-option"],
        ["copy", "--seed", "many"],
    ],
)
def test_wrong_usage_ends_with_2(wavewright_command: Command, arguments: list[str]) -> None:
    code, out, err = wavewright_command(*arguments)
    assert (code, out) == (2, "")
    assert "Usage:" in err
    assert "Traceback" not in err


def test_expected_errors_are_one_sentence_and_2(
    wavewright_command: Command, tmp_path: Path, recording: str
) -> None:
    out = str(tmp_path / "out.wav")
    error = wavewright_command.error
    assert "no recipe 'minni'. Did you mean 'mini'?" in error("run", "minni")
    assert "Did you mean 'vocoders'?" in error("list", "vocoder")
    assert "unknown mel preset 'hifigen'" in error("config", "mel:hifigen")
    assert "Did you mean 'hifigan'?" in error("config", "hifi-gan")
    assert "has no variant 'v4'. Did you mean" in error("config", "hifigan:v4")
    assert "must be trained first" in error(
        "copy", "--checkpoint", "hifigan", "--wav", recording, "--out", out
    )
    assert "no such audio file" in error(
        "copy", "--checkpoint", "griffinlim", "--wav", "none.wav", "--out", out
    )
    assert "no such checkpoint" in error(
        "vocode", "--checkpoint", "none", "--mel", "none.npy", "--out", out
    )
    assert "exists already" in error("new", "mini", str(tmp_path))


def test_a_broken_recipe_is_one_sentence_with_its_line(
    wavewright_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("recipe: x\nabout: y\nwork_dir: exp\nseed: one\nmel: {preset: hifigan}\n")
    assert wavewright_command.error("run", str(path)).startswith(f"{path}:4: seed: ")
    for command in ("status", "verify"):
        assert f"{path}:4: seed: " in wavewright_command.error(command, str(path))
    assert not (tmp_path / "exp").exists()


def test_debug_shows_where_an_error_came_from(
    source_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "wavewright", "--debug", "run", "no-such-recipe"]
    answer = subprocess.run(
        command, env=source_environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode != 0
    assert "Traceback" in answer.stderr
    assert "UnknownName: no recipe 'no-such-recipe'" in answer.stderr


def test_list_names_everything_with_groups(wavewright_command: Command) -> None:
    _, out, _ = wavewright_command("list")
    for group in ("vocoders", "acoustic", "stages", "metrics", "mels", "recipes"):
        assert f"{group}:\n" in out
    _, out, _ = wavewright_command("list", "mels")
    assert out.split() == list(MelSpec.presets())
    _, out, _ = wavewright_command("list", "vocoders")
    assert {"griffinlim:mel", "hifigan:v1", "hifigan:v3"} <= set(out.split())
    _, out, _ = wavewright_command("list", "stages")
    stages = ["download", "prepare", "mels", "pitch", "acoustic", "gta", "train", "evaluate"]
    assert out.split() == [*stages, "classifier", "samples"]


def test_config_prints_yaml_that_makes_the_same(wavewright_command: Command) -> None:
    yaml = YAML(typ="safe", pure=True)
    _, out, _ = wavewright_command("config", "hifigan:v2")
    found = HiFiGANConfig.model_validate(yaml.load(out))
    assert found == HiFiGANConfig(upsample_initial_channel=128)
    _, out, _ = wavewright_command("config", "mel:wavernn")
    assert MelSpec.model_validate(yaml.load(out)) == MelSpec.preset("wavernn")
    code, out, _ = wavewright_command("config", "tacotron2")
    assert code == 0
    assert yaml.load(out)["encoder_width"] == 512


def test_config_prints_a_checkpoints_for_a_recipe_to_take_over(
    wavewright_command: Command, tmp_path: Path
) -> None:
    vocoder = tiny.hifigan()
    save_checkpoint(tmp_path / "run", 7, vocoder)
    code, out, _ = wavewright_command("config", str(tmp_path / "run"))
    assert code == 0
    assert out.startswith("# hifigan, step 7\n")
    found = HiFiGANConfig.model_validate(YAML(typ="safe", pure=True).load(out))
    assert found == vocoder.config
    code, _, error = wavewright_command("config", str(tmp_path / "none.safetensors"))
    assert code == 2
    assert "no such checkpoint" in error


def test_vocode_and_copy_write_files_and_say_so(
    wavewright_command: Command, tmp_path: Path, recording: str
) -> None:
    save_checkpoint(tmp_path / "run", 7, tiny.hifigan())
    np.save(tmp_path / "mel.npy", tiny.mel("tone3"))
    checkpoint, mel = str(tmp_path / "run"), str(tmp_path / "mel.npy")
    for arguments in (["vocode", "--mel", mel], ["copy", "--wav", recording]):
        out = tmp_path / f"{arguments[0]}.wav"
        code, said, _ = wavewright_command(
            *arguments, "--checkpoint", checkpoint, "--out", str(out)
        )
        assert code == 0
        assert said.startswith(f"{out}: ")
    vocoded, copied = (load_wav(tmp_path / f"{name}.wav")[0] for name in ("vocode", "copy"))
    np.testing.assert_array_equal(vocoded, copied)


@pytest.mark.slow
def test_export_writes_a_file_and_prints_how_it_runs(
    wavewright_command: Command, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "run", 7, tiny.hifigan())
    out = tmp_path / "vocoder.onnx"
    code, said, noise = wavewright_command("export", str(tmp_path / "run"), "--out", str(out))
    assert code == 0
    assert noise == ""
    assert said.startswith(f"{out}: hifigan, ")
    assert "import onnxruntime" in said
    assert out.is_file()
    error = wavewright_command.error("export", "none", "--out", str(out))
    assert error == "none: no such checkpoint"


def test_new_makes_a_recipe_that_can_be_asked_about(
    wavewright_command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    code, out, _ = wavewright_command("new", "mini", str(folder))
    assert code == 0
    assert f"wavewright run {folder}" in out
    code, out, _ = wavewright_command("status", str(folder))
    assert code == 0
    assert out.count("to do") >= 7
    code, out, _ = wavewright_command("run", str(folder), "--dry-run")
    assert code == 0
    assert "0 download" in out
    assert "will run" in out
    assert not (folder / "exp").exists(), "asking makes nothing"


def test_exit_codes_are_those_of_design() -> None:
    assert (Locked.exit_code, Stale.exit_code) == (75, 77)
    assert wavewright.WavewrightError.exit_code == 2


def test_public_names_are_there_and_unknown_ones_are_not() -> None:
    for name in wavewright.__all__:
        assert getattr(wavewright, name) is not None
    assert wavewright.MelSpec is MelSpec
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        wavewright.Nothing  # noqa: B018


def test_a_listening_test_is_made_and_its_ratings_are_read(
    wavewright_command: Command, tmp_path: Path
) -> None:
    natural, *others = (str(path) for path in write_systems(tmp_path / "systems").values())
    test, out = str(tmp_path / "test"), str(tmp_path / "out")
    candidates = [f"--candidate={Path(path).name}={path}" for path in others]
    made = ["listening-test", "--reference", natural, *candidates, "--out"]
    code, said, _ = wavewright_command(*made, test, "--kind", "mos", "--utterances", "2")
    assert code == 0
    assert f"keep to yourself: {test}/key.json" in said
    key = read_key(Path(test) / "key.json")
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "a.json").write_text(session(key, "a", attentive).model_dump_json())
    code, said, _ = wavewright_command(
        "ratings", str(answers), f"--key={test}/key.json", "--out", out
    )
    assert code == 0
    assert "| natural | 5.00 | too few |" in said
    assert sorted(path.name for path in Path(out).iterdir()) == ["ratings.json", "ratings.md"]
    code, said, _ = wavewright_command(*made, f"{out}/mushra", "--kind", "webmushra")
    assert code == 0
    error = wavewright_command.error
    alone = error(*made, test, "--kind", "webmushra", "--single-file")
    assert "webMUSHRA needs its sounds beside it" in alone
    assert "exists already and is not empty" in error(*made, test, "--kind", "ab")
    assert "holds no .json" in error("ratings", natural, f"--key={test}/key.json", "--out", out)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("train", "'train' is a stage: wavewright config stage:train"),
        ("espnet", "'espnet' is a mel preset: wavewright config mel:espnet"),
        ("mstft", "'mstft' is a metric and has no configuration"),
        ("v3", "'v3' is a variant: wavewright config hifigan:v3"),
        ("voice/recipe.yaml", "is a recipe: wavewright run voice/recipe.yaml --dry-run"),
        ("hifigen", "no model 'hifigen'. Did you mean 'hifigan'?"),
    ],
)
def test_config_says_what_a_name_is(wavewright_command: Command, name: str, answer: str) -> None:
    assert answer in wavewright_command.error("config", name)


def test_config_of_a_foreign_file_names_import(wavewright_command: Command, tmp_path: Path) -> None:
    (tmp_path / "g_1").write_bytes(b"")
    assert "wavewright import" in wavewright_command.error("config", str(tmp_path / "g_1"))


def test_config_prints_a_stage_s_options(wavewright_command: Command) -> None:
    code, out, _ = wavewright_command("config", "stage:train")
    assert code == 0
    assert "max_steps" in out
    assert "batch_size" in out
    assert "16" in out


def test_list_vocoders_is_a_table(wavewright_command: Command) -> None:
    code, out, _ = wavewright_command("list", "vocoders")
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split()[:2] == ["vocoder", "parameters"]
    assert any(row.startswith("hifigan:v2 ") and " 925,985 " in row for row in rows)


def test_list_vocoders_prints_json(wavewright_command: Command) -> None:
    code, out, _ = wavewright_command("list", "vocoders", "--json")
    assert code == 0
    vocoder = next(row for row in json.loads(out) if row["name"] == "hifigan")
    assert {"parameters", "conditioning", "sample_rate"} <= vocoder["variants"][0].keys()
