"""The evaluate stage on made-up speech: every condition, every border, the same bytes twice."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.reports import write_prepared
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.evaluation.results import Results
from wavewright.mel.spec import MelSpec
from wavewright.registry import create_model, create_vocoder
from wavewright_stages.evaluate import evaluate

SPEC = MelSpec.preset("hifigan")
SPLITS = {"a-1": "test", "a-2": "test", "b-1": "dev", "b-2": "train", "c-1": "test", "x-1": ""}
SMALL_HIFIGAN: dict[str, Any] = {"upsample_initial_channel": 32}
SMALL_TACOTRON: dict[str, Any] = {
    "encoder_width": 16,
    "encoder_convolutions": 1,
    "prenet_width": 8,
    "attention_rnn_width": 16,
    "attention_width": 8,
    "attention_location_filters": 4,
    "decoder_rnn_width": 16,
    "postnet_width": 16,
    "frames_per_step": 2,
    "gate_threshold": 0.99,
}
PICTURE = b"\x89PNG\r\n\x1a\n and whatever follows"
QUICK: dict[str, Any] = {"speed_seconds": 0.2, "speed_repeats": 2, "jobs": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages before would have left: an untrained acoustic model, a fresh vocoder."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    write_prepared(folder, SPEC, SPLITS)
    acoustic = create_model("acoustic", "tacotron2", mel=SPEC, **SMALL_TACOTRON)
    save_checkpoint(folder / "acoustic", 3, acoustic)
    (folder / "acoustic" / "attention.png").write_bytes(PICTURE)
    vocoder = create_vocoder("hifigan:v3", mel=SPEC, **SMALL_HIFIGAN)
    save_checkpoint(folder / "vocoder", 20, vocoder)
    lines = [{"step": 0, "mel_l1": 5.0}, {"step": 20, "mel_l1": 4.0}]
    (folder / "vocoder" / "validation.jsonl").write_text("\n".join(map(json.dumps, lines)))
    natural = Shards(folder / "mels")
    gta = {name: natural.array(name) + np.float32(0.1) for name in natural.ids if name != "a-2"}
    write_shards(folder / "gta", list(gta), gta.__getitem__, mel=SPEC, sample_rate=SPEC.sample_rate)
    return folder


def run(work: Path, report: Path, **changes: Any) -> Results:
    report.mkdir(parents=True)
    gta, acoustic = (changes.pop(name, work / name) for name in ("gta", "acoustic"))
    vocoder = changes.pop("vocoder", {"hifigan:v3": work / "vocoder"})
    options = {"mel": SPEC, "seed": 5, "max_seconds": 0.5, **QUICK, **changes}
    evaluate(work / "prepared", work / "mels", gta, acoustic, vocoder, report, **options)
    return Results.model_validate_json((report / "results.json").read_text())


@pytest.fixture(scope="module")
def full(work: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    report = tmp_path_factory.mktemp("full") / "report"
    return report, run(work, report, refine=5)


@pytest.mark.slow
def test_every_system_speaks_under_every_condition(full: tuple[Path, Results]) -> None:
    report, results = full
    assert [u.id for u in results.utterances] == ["a-1", "a-2", "c-1"]
    assert results.quarantined == 1
    made = {str(path.relative_to(report / "wavs")) for path in (report / "wavs").rglob("*.wav")}
    ids = ("a-1", "a-2", "c-1")
    expected = {f"natural/recording/{utterance}.wav" for utterance in ids}
    expected |= {f"lowpass-3.5k/copy/{utterance}.wav" for utterance in ids}
    for system in ("griffinlim", "hifigan-v3"):
        expected |= {f"{system}/{c}/{u}.wav" for c in ("copy", "gta", "tts") for u in ids}
        expected.remove(f"{system}/gta/a-2.wav")  # of which the GTA mels lack one
    expected |= {f"hifigan-v3-refined/copy/{u}.wav" for u in ids}  # not of predicted mels
    assert made == expected


def test_a_refined_copy_is_nearer_and_the_report_says_that_it_is_refined(
    full: tuple[Path, Results],
) -> None:
    report, results = full
    rows = {(r.system, r.metric): r for r in results.summary if r.condition == "copy"}
    plain, refined = (rows[f"hifigan-v3{end}", "mel_l1_8k"].mean for end in ("", "-refined"))
    assert plain is not None
    assert refined is not None
    assert refined < 0.5 * plain
    assert [s.refine for s in results.systems if s.is_candidate] == [0, 0, 5]
    rows_refined = [r for r in results.summary if r.system == "hifigan-v3-refined"]
    assert {r.condition for r in rows_refined} == {"copy"}
    for page in ("index.html", "report.md"):
        assert "5 iterations of mel consistency" in (report / page).read_text()
    speed = json.loads((report / "speed.json").read_text())
    assert "hifigan-v3-refined" in {row["system"] for row in speed["systems"]}


def test_griffin_lim_beats_a_vocoder_that_learned_nothing(full: tuple[Path, Results]) -> None:
    _, results = full
    rows = {(r.system, r.metric): r for r in results.summary if r.condition == "copy"}
    assert rows["natural", "mel_l1"].mean == 0.0
    assert rows["griffinlim", "mel_l1_8k"].mean < 0.5 < rows["hifigan-v3", "mel_l1_8k"].mean  # type: ignore[operator]
    assert rows["griffinlim", "mel_l1"].n == 3


def test_gta_is_one_utterance_short_and_says_so(full: tuple[Path, Results]) -> None:
    _, results = full
    rows = [r for r in results.summary if r.condition == "gta" and r.metric == "mel_l1"]
    assert {r.n for r in rows} == {2}
    missing = [e for e in results.events if e.condition == "gta"]
    assert [(e.utterance, e.reason) for e in missing] == [("a-2", "no mel was made of it")]


def test_speech_that_never_ends_is_told(full: tuple[Path, Results]) -> None:
    """An untrained acoustic model does not know where to stop."""
    _, results = full
    cut = [e for e in results.events if e.condition == "tts" and "cut off" in e.reason]
    assert len(cut) == 3


def test_the_page_has_a_training_curve_and_its_baseline(full: tuple[Path, Results]) -> None:
    text = (full[0] / "index.html").read_text()
    assert "hifigan:v3 goes from 5.000 to 4.000; griffinlim stays at 0." in text


def test_the_page_shows_the_attention_of_the_acoustic_model(full: tuple[Path, Results]) -> None:
    encoded = base64.b64encode(PICTURE).decode()
    assert f'src="data:image/png;base64,{encoded}"' in (full[0] / "index.html").read_text()


@pytest.mark.slow
def test_equal_inputs_give_equal_results(
    work: Path, full: tuple[Path, Results], tmp_path: Path
) -> None:
    run(work, tmp_path / "again", refine=5)
    names = ["results.json", "results.csv"]
    names += [str(path.relative_to(full[0])) for path in full[0].rglob("*.wav")]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (full[0] / name).read_bytes(), name


def test_no_path_of_this_machine_is_published(full: tuple[Path, Results], work: Path) -> None:
    for path in full[0].glob("*.*"):
        assert str(work) not in path.read_text("utf-8"), path.name


@pytest.mark.slow
def test_a_recipe_without_an_acoustic_model_still_reports(work: Path, tmp_path: Path) -> None:
    results = run(work, tmp_path / "report", gta=None, acoustic=None, vocoder={}, utterances=2)
    assert [c.id for c in results.evaluated_conditions()] == ["copy"]
    assert all("Not evaluated" in c.absent for c in results.conditions[1:])
    assert [u.id for u in results.utterances] == ["a-1", "c-1"]
    assert results.split_size == 3


def test_another_mel_is_refused_at_every_border(work: Path, tmp_path: Path) -> None:
    other = SPEC.model_copy(update={"fmin": 20.0})
    with pytest.raises(MelMismatch, match="fmin"):
        run(work, tmp_path / "one", mel=other)
    with pytest.raises(MelMismatch, match="fmin"):
        run(work, tmp_path / "two", mel=other, vocoder={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev", "baselines": ("hifigan",)}, "has to be trained"),
        ({"baselines": ("griffinlimm",)}, "griffinlim"),
        ({"metrics": ("mel_l2",)}, "mel_l1"),
        ({"baselines": ("griffinlim", "griffinlim")}, "two systems"),
        ({"baselines": ()}, "nothing to evaluate"),
        ({"split": "testing"}, "no usable utterances in split 'testing'"),
    ],
)
def test_mistakes_are_explained(
    work: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WavewrightError, match=message):
        run(work, tmp_path / "report", vocoder={}, **changes)
