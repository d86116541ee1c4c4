"""Hostile and broken inputs end as they should: used, used with a warning, left out, or refused.

Every case of the collection is driven through the code that a user's command runs: audio, metadata
and TextGrids through the stages download and prepare, in a corpus of good utterances around the
case; mels through `wavewright vocode`; configurations through a recipe; archives through download,
and checkpoints through `wavewright import`. Whatever happens, there is no traceback, nothing that a
file contains is executed, and nothing stands half-written under its final name.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.faults.foreign_files import drive_archive, drive_checkpoint
from tests.faults.outcomes import Outcome, run_command
from wavewright.data.manifest import read_manifest
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.registry import create_vocoder
from wavewright.runner.recipe import load_recipe
from wavewright_stages.download import download
from wavewright_stages.prepare import prepare

SHARED = Path(
    os.environ.get("WAVEWRIGHT_SHARED") or Path(__file__).resolve().parents[3] / "shared"
).absolute()
FOLDER = SHARED / "corpora" / "bad-input"
GROUPS = ("audio", "metadata", "textgrid", "mels", "config", "archives", "checkpoints")
FILLERS = {f"filler-{i}": f"A good sentence, number {word}." for i, word in enumerate("abc")}

#: Where the collection lets a tool accept without a word what others warn of.
ACCEPTED_IN_SILENCE = {
    "audio/mulaw.wav": "decoded",
    "audio/rifx-big-endian.wav": "decoded",
    "audio/flac-named.wav": "told by content",
    "audio/ogg-named.wav": "told by content",
    "audio/flac-bitflip.flac": "a decoder that conceals the error gives what it can",
    "config/exponent-string.yaml": "8e3 is a number in YAML 1.2",
    "metadata/cr-only.csv": "a bare CR ends a line",
    "textgrid/utf16.TextGrid": "Praat writes it",
    "archives/setuid.tar": "nothing but ordinary permissions come out of any archive",
}


def cases() -> list[dict[str, str]]:
    """Cases of the groups at hand; one placeholder if the collection is missing."""
    manifest = FOLDER / "manifest.json"
    if not manifest.is_file():
        return []
    files = json.loads(manifest.read_text())["files"]
    return [case for case in files if case["group"] in GROUPS]


@pytest.fixture(autouse=True)
def nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cases that would run something leave a marker in the working folder."""
    work = tmp_path / "cwd"
    work.mkdir()
    monkeypatch.chdir(work)
    yield
    assert list(tmp_path.rglob("*.marker")) == []
    assert list(Path("/tmp").glob("*.marker")) == []
    assert not list(tmp_path.glob("escape*"))
    assert not Path("/tmp/escape").exists()


@pytest.fixture
def baseline() -> Path:
    return FOLDER / "audio" / "good-22k-mono.wav"


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no collection of bad input at {FOLDER}")
@pytest.mark.parametrize("case", cases(), ids=[case["file"] for case in cases()])
def test_it_ends_as_it_should(
    case: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    baseline: Path,
) -> None:
    caplog.set_level(logging.WARNING, logger="wavewright")
    drive: Callable[..., Outcome] = {
        "audio": drive_audio,
        "metadata": drive_metadata,
        "textgrid": drive_textgrid,
        "mels": drive_mel,
        "config": drive_config,
        "archives": lambda path, work, *_: drive_archive(path, work, monkeypatch),
        "checkpoints": lambda path, work, *_: drive_checkpoint(path, work, monkeypatch, caplog),
    }[case["group"]]
    outcome = drive(FOLDER / case["file"], tmp_path, caplog, baseline)
    assert "Traceback" not in outcome.said
    assert "\x1b" not in outcome.said, "terminals must not get a file's control characters"
    wanted = case["expect_class"]
    if wanted == "accept":
        assert outcome.used, outcome
        assert outcome.code == 0
        assert not outcome.warned, outcome
    elif wanted == "accept-with-warning":
        refused_plainly = not outcome.used and bool(outcome.said)
        told = outcome.warned or case["file"] in ACCEPTED_IN_SILENCE
        assert refused_plainly or (outcome.used and told), outcome
    elif wanted == "skip-item":
        assert not outcome.used, outcome
        assert outcome.said
    else:
        assert wanted == "reject"
        assert not outcome.used, outcome
        assert outcome.said


def run_stages(
    source: Path, work: Path, caplog: pytest.LogCaptureFixture, **options: Any
) -> tuple[int, str, Path]:
    """Exit code and message of download and prepare, and the folder that prepare filled."""
    corpus, prepared = work / "corpus", work / "prepared"
    for folder in (corpus, prepared):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    settings = {"sample_rate": 22050, "max_quarantine": 1.0, "jobs": 1, **options}
    try:
        download(corpus, source=source)
        prepare(corpus, prepared, **settings)
    except WavewrightError as error:
        assert not (prepared / "manifest.parquet").exists(), "half a result under its final name"
        return error.exit_code, f"{error}", prepared
    warnings = "\n".join(record.getMessage() for record in caplog.records)
    return 0, warnings, prepared


def make_corpus(folder: Path, baseline: Path, lines: dict[str, str], audio: Path | None) -> Path:
    """LJSpeech layout with the good utterances and `lines`; all say the baseline, or `audio`."""
    (folder / "wavs").mkdir(parents=True)
    for name in FILLERS:
        shutil.copyfile(baseline, folder / "wavs" / f"{name}.wav")
    for name in lines:
        source = audio or baseline
        shutil.copyfile(source, folder / "wavs" / f"{name}{source.suffix}")
    rows = {**FILLERS, **lines}
    text = "".join(f"{name}|{words}|{words}\n" for name, words in rows.items())
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    return folder


def item(prepared: Path, name: str) -> dict[str, Any]:
    table = read_manifest(prepared / "manifest.parquet")
    (row,) = table[table["id"] == name].to_dict("records")
    return {str(column): value for column, value in row.items()}


def drive_audio(
    path: Path, work: Path, caplog: pytest.LogCaptureFixture, baseline: Path
) -> Outcome:
    source = make_corpus(work / "source", baseline, {"case": "Ah, indeed."}, path)
    code, said, prepared = run_stages(source, work, caplog)
    assert code == 0, f"one bad file must not stop the others: {said}"
    row = item(prepared, "case")
    used = row["reason"] == ""
    shards = Shards(prepared / "audio")
    assert used == ("case" in shards)
    assert all(filler in shards for filler in FILLERS)
    # Alone, there is nothing left to work with.
    alone = work / "alone"
    (alone / "wavs").mkdir(parents=True)
    shutil.copyfile(path, alone / "wavs" / f"case{path.suffix}")
    (alone / "metadata.csv").write_text("case|Ah, indeed.|Ah, indeed.\n")
    if not used:
        code_alone, said_alone, _ = run_stages(alone, work / "b", caplog)
        assert code_alone == 2
        assert "case" in said_alone
        assert f"case{path.suffix}: " in row["reason"], "the reason names the file"
    elif path.name in ("pcm-24bit.wav", "pcm-32bit.wav", "float32-ok.wav", "wave-extensible.wav",
                       "list-chunk-before-data.wav", "flac-named.wav"):  # fmt: skip
        same = shards.array("filler-0").astype(int) - shards.array("case").astype(int)
        assert abs(same).max() <= 1, "the same samples as the baseline"
    return Outcome(code, f"{row['reason']}{row['flags']}", used, bool(row["flags"]))


def drive_metadata(
    path: Path, work: Path, caplog: pytest.LogCaptureFixture, baseline: Path
) -> Outcome:
    """The case's lines below good ones in its own encoding; every legal id has its audio."""
    source = make_corpus(work / "source", baseline, {}, None)
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    end = "\r" if path.name == "cr-only.csv" else "\n"
    good = "".join(f"{name}|{words}|{words}{end}" for name, words in FILLERS.items())
    if encoding == "utf-16":
        (source / "metadata.csv").write_bytes((good + data.decode("utf-16")).encode("utf-16"))
    elif path.name == "header-row.csv":  # a header is the first line, or none
        (source / "metadata.csv").write_bytes(data + good.encode())
    else:
        (source / "metadata.csv").write_bytes(good.encode() + data)
    text = data.decode("latin-1" if path.name == "latin1.csv" else encoding)
    names = {line.split("|")[0] for line in text.replace("\r", "\n").split("\n") if line.strip()}
    for name in names - {"LJ999-9999", "id"}:
        if re.fullmatch("[A-Za-z0-9_é\u0301-]{1,200}", name):
            shutil.copyfile(baseline, source / "wavs" / f"{name}.wav")
    caplog.clear()
    code, said, prepared = run_stages(source, work, caplog)
    if code:
        assert str(path.name) in said or "metadata.csv" in said, said
        return Outcome(code, said, used=False)
    table = read_manifest(prepared / "manifest.parquet")
    rows = table[~table["id"].isin(FILLERS)]
    used = rows[rows["reason"] == ""]
    faulty = rows[rows["reason"] != ""]
    flags = "".join(used["flags"])
    if path.name in ("good.csv", "crlf.csv", "no-final-newline.csv", "blank-lines.csv"):
        assert sorted(used["id"]) == ["LJ001-0001", "LJ001-0002"]
        assert not any("\r" in words for words in used["text"])
    if path.name == "quotes.csv":
        assert list(used.set_index("id")["text"]) == [
            '"Printing," he said.',
            '"unbalanced',
            "Third.",
        ]
    if path.name == "emoji-control.csv":
        assert len(rows) == 4, "neither ESC nor U+2028 nor U+0085 ends a line"
    mine = [line for line in said.splitlines() if "too few" not in line]
    return Outcome(
        code,
        "\n".join([*faulty["reason"], flags, *mine]),
        used=bool(len(used)) and not (len(faulty) and _all_of_it_is_faulty(path)),
        warned=bool(len(faulty) or flags or mine),
    )


def _all_of_it_is_faulty(path: Path) -> bool:
    """Cases in which some lines are good and the faulty ones are what is asked about."""
    mixed = ("missing-column", "extra-column", "empty-text", "duplicate-ids", "id-shell")
    return path.stem in mixed  # the last one's `-rf` is a plain name


def drive_textgrid(
    path: Path, work: Path, caplog: pytest.LogCaptureFixture, baseline: Path
) -> Outcome:
    source = make_corpus(work / "source", baseline, {"case": "Ah."}, None)
    (source / "alignments").mkdir()
    shutil.copyfile(path, source / "alignments" / "case.TextGrid")
    caplog.clear()
    code, said, prepared = run_stages(source, work, caplog, trim="alignment")
    assert code == 0, said
    row = item(prepared, "case")
    assert row["reason"] == "", "an utterance is not lost with its TextGrid"
    used = bool(row["alignment"])
    lines = [line for line in said.splitlines() if "case" in line or "TextGrid" in line]
    if not used:
        assert "bad_alignment" in row["flags"]
        assert any("case.TextGrid" in line for line in lines), "the warning names the file"
    return Outcome(code, "\n".join([row["flags"], *lines]), used, bool(lines))


def drive_mel(path: Path, work: Path, caplog: pytest.LogCaptureFixture, baseline: Path) -> Outcome:
    out = work / "out.wav"
    code, said = run_command(
        ["vocode", "--checkpoint", "griffinlim", "--mel", str(path), "--out", str(out)]
    )
    warnings = "\n".join(record.getMessage() for record in caplog.records)
    assert (code == 0) == out.exists(), "a file appears whole or not at all"
    if code:
        assert code == 2
        assert str(path) in said
        assert not list(work.glob("out*"))
    else:
        assert soundfile.info(out).frames % 256 == 0
    return Outcome(code, said + warnings, code == 0, bool(warnings))


RECIPE = """recipe: case
about: A configuration of the collection, as a recipe's mel section.
work_dir: exp
seed: 0
stages: [download, prepare, mels]
mel:
"""


def drive_config(
    path: Path, work: Path, caplog: pytest.LogCaptureFixture, baseline: Path
) -> Outcome:
    """The collection's keys are our own but for `upsample_scales`, a vocoder's."""
    lines = path.read_text().splitlines()
    scales = [line for line in lines if line.startswith("upsample_scales")]
    section = "".join(f"  {line}\n" for line in lines if line not in scales)
    recipe = work / "recipe.yaml"
    recipe.write_text(RECIPE + section)
    code, said = run_command(["run", str(recipe), "--dry-run"])
    if code == 0 and scales:
        rates = json.loads(scales[0].partition(":")[2])
        try:
            mel = load_recipe(recipe).shared["mel"]
            create_vocoder("hifigan", mel=mel, upsample_rates=rates)
        except WavewrightError as error:
            return Outcome(error.exit_code, str(error))
    if code:
        assert code == 2
        assert said.startswith("error: ")
        assert "recipe.yaml" in said
    assert not (work / "exp").exists()
    return Outcome(code, said, used=code == 0)
