"""The stages classifier and samples, the command sample: sounds of noise, judged by the corpus."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.data.test_manifest import row
from tests.support import tiny
from wavewright.audio.files import load_wav, to_pcm16
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import write_shards
from wavewright.errors import WavewrightError
from wavewright.evaluation.classifier import Classifier, fit_length
from wavewright.evaluation.samples_results import SamplesResults
from wavewright.inference.vocode import write_samples
from wavewright.registry import create_vocoder
from wavewright_stages.classifier import classifier as classifier_stage
from wavewright_stages.samples import samples as samples_stage

pytestmark = pytest.mark.slow
SAMPLES = 256 * 16
WORDS = {"low": 400.0, "high": 2500.0}


def word(text: str, number: int) -> np.ndarray:
    """A tone of the word's pitch, with noise of its own."""
    random = np.random.default_rng([number, len(text)])
    time = np.arange(1500 + 100 * (number % 5)) / 8000
    tone = 0.3 * np.sin(2 * np.pi * (WORDS[text] * random.uniform(0.9, 1.1)) * time)
    return (tone + 0.01 * random.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    wavs, rows = {}, []
    for number in range(80):
        text = list(WORDS)[number % 2]
        id_, split = (
            f"{text}{number}",
            "test" if number >= 64 else "dev" if number >= 56 else "train",
        )
        wavs[id_] = word(text, number)
        rows.append(
            row(
                id_,
                split=split,
                text=text,
                speaker="<b>a</b>",
                samples=len(wavs[id_]),
                sample_rate=8000,
            )
        )
    write_shards(
        folder / "audio", list(wavs), lambda i: to_pcm16(wavs[i]), mel=None, sample_rate=8000
    )
    write_manifest(pd.DataFrame(rows), folder / "manifest.parquet")
    return folder


@pytest.fixture(scope="module")
def heard(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    classifier_stage(prepared, folder, mel=tiny.SPEC, seed=0, samples=SAMPLES, epochs=40)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained unconditional vocoders of every kind."""
    runs = {}
    for name in ("wavegan", "wavenet:unconditional"):
        torch.manual_seed(0)
        runs[name] = tmp_path_factory.mktemp("run")
        save_checkpoint(runs[name], 3, create_vocoder(name, **tiny.SMALL[name]))
    return runs


@pytest.fixture(scope="module")
def report(
    prepared: Path,
    heard: Path,
    trained: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    samples_stage(
        prepared,
        heard,
        trained,
        folder,
        seed=4,
        title="<i>Tones</i>",
        corpus="two tones",
        count=24,
        max_players=3,
        device="cpu",
    )
    return folder


def test_the_classifier_tells_what_it_never_saw(heard: Path) -> None:
    about = json.loads((heard / "classifier.json").read_text())
    assert about["classes"] == ["high", "low"]
    assert about["accuracy"]["test"] > 0.9
    assert about["utterances"] == {"train": 56, "dev": 8, "test": 16}
    network = Classifier.load(heard)
    again = Classifier.load(heard)
    wavs = np.stack([fit_length(word("low", 99), SAMPLES), fit_length(word("high", 99), SAMPLES)])
    told, features = network.predict(wavs)
    assert told.argmax(axis=1).tolist() == [1, 0]
    assert features.shape == (2, 128)
    assert np.array_equal(again.predict(wavs)[0], told)


def test_a_column_without_classes_is_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"column 'speaker' .* has 1 values in 56 utterances"):
        classifier_stage(
            prepared, tmp_path, mel=tiny.SPEC, seed=0, samples=SAMPLES, classes_are="speaker"
        )
    with pytest.raises(WavewrightError, match="holds no classifier"):
        Classifier.load(tmp_path)


def test_every_set_is_judged_alike(report: Path) -> None:
    results = SamplesResults.model_validate_json((report / "results.json").read_text())
    sets = {item.id: item for item in results.sets}
    assert list(sets) == ["train", "test", "wavegan", "wavenet-unconditional"]
    assert sets["test"].inception > 1.5, "both tones, surely"
    assert sets["test"].ltas_distance == pytest.approx(0.0)
    assert sets["train"].ltas_distance < sets["wavegan"].ltas_distance
    assert sets["test"].frechet is None, "too few for a covariance"
    assert sets["wavegan"].to_train > sets["test"].to_train
    assert sets["wavegan"].step == 3
    for name in ("wavegan", "wavenet-unconditional"):
        assert sum(sets[name].counts.values()) == sets[name].sounds == 24
        assert len(sets[name].examples) == 24
        assert (sets[name].real_time_factor or 0) > 0
    lines = list(csv.DictReader((report / "results.csv").read_text().splitlines()))
    assert len(lines) == 48
    assert all((report / line["file"]).is_file() for line in lines)
    assert (report / "spectrum.png").read_bytes().startswith(b"\x89PNG")
    assert "| wavenet:unconditional | 24 |" in (report / "report.md").read_text()


def test_no_sound_is_made_twice(report: Path) -> None:
    wavs = [load_wav(path)[0] for path in sorted((report / "wavs" / "wavegan").glob("*.wav"))]
    assert len({wav.tobytes() for wav in wavs}) == 24


def test_a_copy_of_the_corpus_is_found(prepared: Path, heard: Path, tmp_path: Path) -> None:
    from wavewright.evaluation.samples import GeneratedSounds, evaluate_samples, load_corpus

    real = load_corpus(prepared, heard)
    stolen = GeneratedSounds(
        "thief",
        create_vocoder("wavegan", **tiny.SMALL["wavegan"]),
        None,
        real.sounds["train"][:5] + 1e-5,
        1.0,
    )
    results = evaluate_samples(real, [stolen], tmp_path, title="", corpus="", note="", seed=0)
    thief = results.sets[-1]
    assert results.copies == {"thief": 5}
    assert [sound.nearest for sound in thief.examples] == real.ids["train"][:5]


def test_one_that_mels_drive_is_refused(prepared: Path, heard: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run", 1, tiny.hifigan())
    with pytest.raises(WavewrightError, match=r"'.*' needs mels: evaluate it with the stage"):
        samples_stage(
            prepared, heard, {"hifigan": tmp_path / "run"}, tmp_path, seed=0, device="cpu"
        )


def test_the_page_says_it_all_and_asks_for_nothing(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert page.count("<audio") == 6
    assert "&lt;i&gt;Tones&lt;/i&gt;" in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    for words in ("Inception score", "Frechet distance", "too few", "polyline", "heard as"):
        assert words in page


def test_the_command_writes_sounds(trained: dict[str, Path], tmp_path: Path) -> None:
    said = write_samples(trained["wavegan"], tmp_path / "a", 3, seed=1)
    assert "a: 3 sounds" in said
    files = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in files] == ["0000.wav", "0001.wav", "0002.wav"]
    wav, rate = load_wav(files[0])
    assert (len(wav), rate) == (256, 8000)
    write_samples(trained["wavegan"], tmp_path / "b", 1, seed=1)
    assert (tmp_path / "b" / "0000.wav").read_bytes() == files[0].read_bytes()
    write_samples(trained["wavegan"], tmp_path / "c", 2, seed=1, interpolated=True)
    ends = sorted((tmp_path / "c").iterdir())
    assert [end.read_bytes() for end in ends] == [path.read_bytes() for path in files[:2]]
    quieter = write_samples(trained["wavegan"], tmp_path / "d", 1, seed=1, truncation=0.1)
    assert quieter
    assert (tmp_path / "d" / "0000.wav").read_bytes() != files[0].read_bytes()
    write_samples(trained["wavenet:unconditional"], tmp_path / "e", 1, seed=1)
    assert len(load_wav(tmp_path / "e" / "0000.wav")[0]) == 9 * tiny.SPEC.hop_length


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("wavenet:unconditional", {"label": "one"}, "no latent vector: leave --label out"),
        ("wavenet:unconditional", {"truncation": 0.5}, "leave --truncation out"),
        ("wavenet:unconditional", {"interpolated": True}, "leave --interpolate out"),
        ("wavegan", {"truncation": 2.0}, "truncation 2: allowed is more than 0, up to 1"),
        ("wavegan", {"label": "one"}, "knows no class 'one'. Classes: none"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    trained: dict[str, Path], tmp_path: Path, name: str, asked: dict[str, object], message: str
) -> None:
    with pytest.raises(WavewrightError, match=message):
        write_samples(trained[name], tmp_path / "out", 1, seed=0, **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
