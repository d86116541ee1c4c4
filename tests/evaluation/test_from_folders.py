"""`wavewright evaluate` and `compare` on folders of wavs, as their users call them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.reports import RATE, speech
from wavewright.cli.app import main
from wavewright.evaluation.results import Results
from wavewright.evaluation.statistics import MIN_UNITS

METRICS = ("--metric", "mel_l1", "--metric", "mstft", "--metric", "lag")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two speakers, and copies that are a little and very noisy."""
    folder = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(0)
    for index in range(8):
        wav, name = speech(index), f"{'ann' if index % 2 else 'bo'}_{index}.wav"
        for system, noise in (("natural", 0.0), ("near", 0.002), ("far", 0.03)):
            (folder / system).mkdir(exist_ok=True)
            noisy = wav + noise * rng.normal(size=len(wav))
            soundfile.write(folder / system / name, noisy, RATE)
    (folder / "far" / "ann_1.wav").write_bytes(b"not audio")
    (folder / "text").write_text("bo_0 <script>alert(1)</script>\nann_1 words\n")
    return folder


def run(*arguments: str | Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["wavewright", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def evaluate(folders: Path, out: Path, *more: str | Path) -> int:
    candidates = [f"--candidate=near={folders / 'near'}", f"--candidate=far={folders / 'far'}"]
    options = ("--text", folders / "text", "--speaker-pattern", "^([a-z]+)_", "--jobs", "1")
    reference = ("--reference", folders / "natural")
    return run("evaluate", *reference, *candidates, "--out", out, *METRICS, *options, *more)


@pytest.fixture(scope="module")
def report(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    assert evaluate(folders, out) == 0
    return out


def results_of(report: Path) -> Results:
    return Results.model_validate_json((report / "results.json").read_text())


@pytest.mark.slow
def test_the_nearer_copy_wins_and_the_test_says_so(report: Path) -> None:
    results = results_of(report)
    rows = {(row.system, row.metric): row for row in results.summary}
    assert rows["natural", "mel_l1"].mean == 0.0
    assert rows["near", "mel_l1"].mean < rows["far", "mel_l1"].mean  # type: ignore[operator]
    gap = next(gap for gap in results.differences if gap.metric == "mel_l1")
    assert (gap.a, gap.b, gap.n) == ("near", "far", 7)
    assert gap.significant
    assert "near is closest to the recordings" in (report / "report.md").read_text()


def test_what_cannot_be_read_costs_all_systems_that_utterance_and_is_told(report: Path) -> None:
    results = results_of(report)
    assert {row.n for row in results.summary} == {7}
    assert MIN_UNITS <= 7
    assert [(e.utterance, e.system) for e in results.events] == [("ann_1", "far")]
    assert "not readable" in results.events[0].reason


def test_texts_and_speakers_arrive_and_harm_nothing(report: Path) -> None:
    results = results_of(report)
    assert results.speakers == ["ann", "bo"]
    assert {u.id: u.text for u in results.utterances}["bo_0"] == "<script>alert(1)</script>"
    assert "<script>alert" not in (report / "index.html").read_text()


def test_anchors_show_the_scale_and_take_no_part(report: Path) -> None:
    results = results_of(report)
    anchor = next(system for system in results.systems if system.kind == "anchor")
    assert any(row.system == anchor.id and row.mean for row in results.summary)
    assert not any(anchor.id in (gap.a, gap.b) for gap in results.differences)


@pytest.mark.slow
def test_the_order_of_candidates_changes_no_number(
    folders: Path, report: Path, tmp_path: Path
) -> None:
    swapped = [f"--candidate={name}={folders / name}" for name in ("far", "near")]
    assert run("evaluate", "--reference", folders / "natural", *swapped, *METRICS, "--jobs", "1",
               "--out", tmp_path / "turned") == 0  # fmt: skip
    one, other = (
        {(r.system, r.metric): (r.mean, r.low, r.high, r.n) for r in results_of(folder).summary}
        for folder in (report, tmp_path / "turned")
    )
    assert one == other


@pytest.mark.slow
def test_the_second_report_computes_only_what_is_new(
    folders: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wavewright.metrics.mel_l1 import MelL1
    from wavewright.metrics.metric import Metric

    requested: list[str] = []
    original = Metric.__call__

    def counted(self: Metric, *arguments: object, **more: object) -> object:
        requested.append(self.id)
        return original(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Metric, "__call__", counted)
    assert evaluate(folders, tmp_path / "again") == 0
    assert requested == []
    third = f"--candidate=third={folders / 'natural'}"
    assert evaluate(folders, tmp_path / "more", third, "--anchor", "none") == 0
    # A third system that says what the recordings say asks nothing that natural speech has not.
    assert requested == []
    monkeypatch.setattr(MelL1, "definition", property(lambda self: "the same code"))
    assert evaluate(folders, tmp_path / "fresh", "--no-cache") == 0
    assert len(requested) >= 3 * (8 * 3 - 1)
    one, again = (results_of(folder).values for folder in (report, tmp_path / "again"))
    assert one == again


@pytest.mark.slow
def test_an_earlier_report_is_replaced_and_nothing_else_is(
    folders: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (report / "stale").write_text("from before")
    assert evaluate(folders, report) == 0
    assert not (report / "stale").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert evaluate(folders, tmp_path / "mine") == 2
    assert "not an earlier report" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "melcd"), "melcd"),
        (("--anchor", "telephone"), "no anchor 'telephone'"),
        (("--speaker-pattern", "ann"), "needs a group"),
        (("--speaker-pattern", "("), "--speaker-pattern"),
        (("--candidate", "x"), "NAME=DIR"),
        (("--candidate", "x=missing"), "no such folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert evaluate(folders, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_conditions_stand_side_by_side(folders: Path, tmp_path: Path) -> None:
    near, far = folders / "near", folders / "far"
    options = ("--reference", folders / "natural", "--candidate", f"a={near}", "--candidate",
               f"a@tts={far}", "--metric", "mel_l1", "--metric", "mel_l1_dtw")  # fmt: skip
    assert run("evaluate", *options, "--jobs", "1", "--out", tmp_path / "out") == 0
    results = results_of(tmp_path / "out")
    assert [condition.id for condition in results.evaluated_conditions()] == ["copy", "tts"]
    result = {(r.system, r.condition, r.metric) for r in results.summary if r.system == "a"}
    assert result == {("a", "copy", "mel_l1"), ("a", "tts", "mel_l1_dtw")}


@pytest.mark.slow
def test_comparing_tells_a_regression_by_its_exit_code(
    folders: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", report, report / "results.json") == 0
    swapped = [f"--candidate=near={folders / 'far'}", f"--candidate=far={folders / 'near'}"]
    assert run("evaluate", "--reference", folders / "natural", *swapped, *METRICS, "--jobs", "1",
               "--out", tmp_path / "swapped") == 0  # fmt: skip
    capsys.readouterr()
    assert run("compare", report, tmp_path / "swapped") == 1
    output = capsys.readouterr().out
    assert "lost values: near, copy, mel_l1 0.2" in output
    assert "better" in output


@pytest.mark.slow
def test_a_copy_that_is_late_is_told(folders: Path, tmp_path: Path) -> None:
    """110 samples are 5 ms, which the table shows; 20 ms are an event besides."""
    for path in (folders / "natural").glob("*.wav"):
        wav, _ = soundfile.read(path)
        for name, delay in (("5ms", 110), ("20ms", 441)):
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / path.name, np.pad(wav, (delay, 0)), RATE)
    candidates = [f"--candidate={name}={tmp_path / name}" for name in ("5ms", "20ms")]
    assert run("evaluate", "--reference", folders / "natural", *candidates, *METRICS, "--jobs", "1",
               "--out", tmp_path / "out") == 0  # fmt: skip
    results = results_of(tmp_path / "out")
    rows = {row.system: row.mean for row in results.summary if row.metric == "lag"}
    assert rows["5ms"] == pytest.approx(5.0, abs=0.5)
    delays = [event for event in results.events if "late" in event.reason]
    assert {event.system for event in delays} == {"20ms"}
    assert len(delays) == 8


def test_the_run_is_told(report: Path) -> None:
    run_info = json.loads((report / "run.json").read_text())
    assert set(run_info) == {"command", "date", "machine"}
