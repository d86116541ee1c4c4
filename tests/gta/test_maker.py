"""The GTA stage: every id accounted for, true lengths, the same bytes however it got there."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread

from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.audio.files import load_wav
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.gta.maker import GtaMaker
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright_stages.gta import gta

pytestmark = pytest.mark.slow
SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 20})
TEXTS = ["Hello there.", "One more time, please.", "Yes."]


class Corpus(NamedTuple):
    """Folders of the stages before."""

    prepared: Path
    mels: Path
    acoustic: Path


def tones(index: int) -> np.ndarray:
    """Between 0.1 and 0.5 s of a tone."""
    time = np.arange(2300 + 397 * (index * 5 % 24)) / SPEC.sample_rate
    return (0.3 * np.sin(2 * np.pi * (200 + 40 * index) * time)).astype(np.float32)


def mel_of(utterance: str, wavs: dict[str, np.ndarray], spec: MelSpec) -> np.ndarray:
    mel: np.ndarray = log_mel(torch.from_numpy(wavs[utterance]), spec).numpy()
    return mel


def build(
    folder: Path, wavs: dict[str, np.ndarray], texts: dict[str, str], spec: MelSpec, **config: Any
) -> Corpus:
    """Write the output folders of prepare, mels and acoustic, with an untrained model."""
    corpus = Corpus(folder / "prepared", folder / "mels", folder / "acoustic")
    corpus.prepared.mkdir(parents=True)
    rows = [
        {
            "id": id_,
            "audio": "audio",
            "samples": len(wav),
            "sample_rate": spec.sample_rate,
            "speaker": "speaker",
            "text": texts[id_],
            "normalised_text": texts[id_],
            "split": ("train", "dev", "test")[index % 3],
            "alignment": "",
            "flags": "",
            "reason": "",
        }
        for index, (id_, wav) in enumerate(wavs.items())
    ]
    rows.append({**rows[0], "id": "broken", "split": "", "reason": "silent"})
    write_manifest(pd.DataFrame(rows), corpus.prepared / "manifest.parquet")
    load = partial(mel_of, wavs=wavs, spec=spec)
    write_shards(
        corpus.mels, list(wavs), load, mel=spec, sample_rate=spec.sample_rate, shard_size=10
    )
    save_model(corpus, spec, **config)
    return corpus


def save_model(corpus: Corpus, spec: MelSpec, **config: Any) -> None:
    torch.manual_seed(0)
    model = Tacotron2.create(
        "tacotron2",
        mel=spec,
        encoder_width=16,
        prenet_width=12,
        attention_rnn_width=24,
        attention_width=10,
        decoder_rnn_width=24,
        postnet_width=12,
        **config,
    )
    save_checkpoint(corpus.acoustic, 1, model)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    wavs = {f"tone-{index:02d}": tones(index) for index in range(24)}
    texts = {id_: TEXTS[index % 3] for index, id_ in enumerate(wavs)}
    return build(tmp_path_factory.mktemp("tones"), wavs, texts, SPEC, frames_per_step=2)


def make(corpus: Corpus, out: Path, **options: Any) -> Path:
    gta(*corpus, out, **{"mel": SPEC, "seed": 0, "jobs": 1, "batch_size": 4, **options})
    return out


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def report(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "report.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def shard_members(folder: Path) -> dict[str, str]:
    return dict(pd.read_parquet(folder / "index.parquet")[["id", "shard"]].to_numpy().tolist())


def test_every_utterance_is_made_with_its_true_length(corpus: Corpus, tmp_path: Path) -> None:
    out = make(corpus, tmp_path / "gta")
    natural, made = Shards(corpus.mels), Shards(out)
    assert made.ids == natural.ids
    assert made.mel == SPEC
    assert shard_members(out) == shard_members(corpus.mels)
    for id_ in natural.ids:
        assert made.length(id_) == natural.length(id_)
        assert not np.array_equal(made.array(id_), natural.array(id_))
    rows = report(out)
    assert sorted(rows) == natural.ids
    assert {row["made"] for row in rows.values()} == {"gta"}
    distance = np.abs(made.array("tone-07") - natural.array("tone-07")).mean()
    assert float(rows["tone-07"]["mel_l1"]) == pytest.approx(distance, abs=1e-5)
    summary = json.loads((out / "report.json").read_text())
    assert (summary["utterances"], summary["made"], summary["lengths_equal"]) == (24, 24, True)
    assert not list(out.glob("*.notes.json"))


def test_batches_and_their_order_do_not_show(corpus: Corpus, tmp_path: Path) -> None:
    batched = Shards(make(corpus, tmp_path / "batched", batch_size=7))
    single = Shards(make(corpus, tmp_path / "single", batch_size=1))
    for id_ in batched.ids:
        np.testing.assert_allclose(batched.array(id_), single.array(id_), atol=2e-4)


@pytest.mark.renders
def test_workers_do_not_change_a_byte(corpus: Corpus, tmp_path: Path) -> None:
    assert digests(make(corpus, tmp_path / "one")) == digests(
        make(corpus, tmp_path / "two", jobs=2)
    )


def test_lists_of_shards_do_not_change_a_byte(corpus: Corpus, tmp_path: Path) -> None:
    """Each of two processes has its own list, as with two GPUs."""
    assert digests(make(corpus, tmp_path / "one")) == digests(
        make(corpus, tmp_path / "lists", gpus=2, device="cpu")
    )


def test_draws_are_averaged(corpus: Corpus, tmp_path: Path) -> None:
    """Noise of several draws cancels out: means are nearer to each other than draws."""

    def apart(draws: int) -> float:
        one, two = (
            Shards(make(corpus, tmp_path / f"{draws}-{seed}", dropout_samples=draws, seed=seed))
            for seed in (1, 2)
        )
        return float(np.mean([np.abs(one.array(i) - two.array(i)).mean() for i in one.ids]))

    assert apart(8) < 0.6 * apart(1)


@pytest.mark.renders
def test_the_worst_are_drawn_with_their_attention(corpus: Corpus, tmp_path: Path) -> None:
    out = make(corpus, tmp_path / "gta")
    height, width = imread(out / "worst.png").shape[:2]
    assert (width, height) == (round(80 * 4.6 * 3), round(80 * 2.7 * 5))
    summary = json.loads((out / "report.json").read_text())
    rows = report(out)
    doubted = [id_ for id_, row in rows.items() if row["doubt"]]
    assert summary["doubtful"] == len(doubted)
    for id_ in doubted:
        low = {name: float(rows[id_][name]) < 0.9 for name in ("coverage", "order")}
        assert low["coverage"] or low["order"]


def test_an_alignment_in_doubt_may_count_as_missing(corpus: Corpus, tmp_path: Path) -> None:
    """A model that has learnt nothing looks at one symbol all the time."""
    before = report(make(corpus, tmp_path / "kept"))
    doubted = {id_ for id_, row in before.items() if row["doubt"]}
    assert doubted
    out = make(corpus, tmp_path / "refused", on_bad_alignment="refuse", on_missing="natural")
    rows = report(out)
    assert {id_ for id_, row in rows.items() if row["made"] == "natural"} == doubted
    assert all(rows[id_]["reason"].startswith("the acoustic model left out") for id_ in doubted)


def test_an_interrupted_run_continues_with_identical_bytes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digests(make(corpus, tmp_path / "whole"))
    out = tmp_path / "interrupted"
    make_mels = GtaMaker.make_mels

    def fail_at_the_third(maker: GtaMaker, ids: list[str]) -> Any:
        if "tone-20" in ids:
            raise KeyboardInterrupt
        return make_mels(maker, ids)

    with monkeypatch.context() as patch:
        patch.setattr(GtaMaker, "make_mels", fail_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            make(corpus, out)
    before = (out / "shard-00000.tar").stat()
    assert not (out / "index.parquet").exists()
    (out / "shard-00001.tar").unlink()
    make(corpus, out)
    assert digests(out) == whole
    assert (out / "shard-00000.tar").stat().st_mtime_ns == before.st_mtime_ns


def test_killed_at_random_it_continues_with_identical_bytes(corpus: Corpus, tmp_path: Path) -> None:
    """SIGKILL, again and again, wherever it hits: what is left in the end is what was due."""
    small = corpus._replace(mels=tmp_path / "mels")
    natural = Shards(corpus.mels)
    write_shards(small.mels, natural.ids, natural.array, mel=SPEC, sample_rate=22050, shard_size=2)
    started = time.monotonic()
    whole = digests(make(small, tmp_path / "whole"))
    took = time.monotonic() - started
    random, out = np.random.default_rng(3), tmp_path / "killed"
    lives = [survives(small, out, random.uniform(0, 0.5) * took) for _ in range(12)]
    assert lives.count(False) >= 6
    make(small, out)
    assert digests(out) == whole


def survives(corpus: Corpus, out: Path, seconds: float) -> bool:
    """Make GTA mels in a process that is killed after so long; whether it was done before."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            make(corpus, out)
            code = 0
        finally:
            os._exit(code)  # whatever happens: the tests go on in the parent alone
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def test_another_seed_is_another_voice(corpus: Corpus, tmp_path: Path) -> None:
    first = Shards(make(corpus, tmp_path / "first", seed=1)).array("tone-03")
    second = Shards(make(corpus, tmp_path / "second", seed=2)).array("tone-03")
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("missing", ["fail", "natural", "leave_out"])
def test_what_cannot_be_made_is_listed_and_treated_as_asked(tmp_path: Path, missing: str) -> None:
    wavs = {f"tone-{index:02d}": tones(index) for index in range(4)}
    texts = dict.fromkeys(wavs, "Hello.") | {"tone-02": "100 %"}
    corpus = build(tmp_path, wavs, texts, SPEC)
    out = tmp_path / "gta"
    if missing == "fail":
        with pytest.raises(WavewrightError, match=r"1 of 4 .* 'tone-02': .*'1'"):
            make(corpus, out)
        assert not (out / "index.parquet").exists()
    else:
        make(corpus, out, on_missing=missing)
        made = Shards(out)
        assert ("tone-02" in made) == (missing == "natural")
        if missing == "natural":
            natural = Shards(corpus.mels).array("tone-02")
            np.testing.assert_array_equal(made.array("tone-02"), natural)
    row = report(out)["tone-02"]
    assert row["made"] == {"fail": "no", "natural": "natural", "leave_out": "no"}[missing]
    assert "PERCENT" in row["reason"]


def test_a_failed_alignment_counts_as_missing(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "gta"
    with pytest.raises(WavewrightError, match="diagonality"):
        make(corpus, out, least_diagonality=0.99)
    assert all(float(row["diagonality"]) < 0.99 for row in report(out).values())


def test_usable_utterances_without_a_natural_mel_are_listed(tmp_path: Path) -> None:
    wavs = {f"tone-{index:02d}": tones(index) for index in range(4)}
    corpus = build(tmp_path, wavs, dict.fromkeys(wavs, "Hello."), SPEC)
    for path in corpus.mels.iterdir():
        path.unlink()
    load = partial(mel_of, wavs=wavs, spec=SPEC)
    write_shards(corpus.mels, sorted(wavs)[:3], load, mel=SPEC, sample_rate=22050)
    with pytest.raises(WavewrightError, match="tone-03"):
        make(corpus, tmp_path / "gta")


def test_a_natural_mel_of_another_length_than_its_audio_is_refused(tmp_path: Path) -> None:
    wavs = {"tone-00": tones(0), "tone-01": tones(1)}
    corpus = build(tmp_path, wavs, dict.fromkeys(wavs, "Hello."), SPEC)
    for path in corpus.mels.iterdir():
        path.unlink()
    shorter = {**wavs, "tone-01": wavs["tone-01"][: -SPEC.hop_length]}
    load = partial(mel_of, wavs=shorter, spec=SPEC)
    write_shards(corpus.mels, sorted(wavs), load, mel=SPEC, sample_rate=22050)
    with pytest.raises(WavewrightError, match=r"'tone-01': its natural mel has \d+ frames"):
        make(corpus, tmp_path / "gta")


def test_half_a_hop_of_difference_is_refused_by_name(corpus: Corpus, tmp_path: Path) -> None:
    centred = SPEC.model_copy(update={"framing": "center"})
    with pytest.raises(MelMismatch, match="framing"):
        make(corpus, tmp_path / "recipe", mel=centred)
    other = corpus._replace(acoustic=tmp_path / "acoustic")
    save_model(other, centred)
    with pytest.raises(MelMismatch, match="framing"):
        make(other, tmp_path / "model")


@pytest.mark.parametrize("frames_per_step", [1, 2, 3])
@pytest.mark.parametrize("framing", ["hop", "center"])
def test_ljspeech_gets_as_many_frames_as_it_has(
    shared: Path,
    tmp_path: Path,
    framing: str,
    frames_per_step: int,
) -> None:
    folder = shared / "corpora" / "ljspeech-mini"
    lines = (folder / "metadata.csv").read_text("utf8").splitlines()[:8]
    texts = {line.split("|")[0]: line.split("|")[2] for line in lines}
    wavs = {id_: load_wav(folder / "wavs" / f"{id_}.wav")[0] for id_ in texts}
    spec = SPEC.model_copy(update={"framing": framing})
    corpus = build(tmp_path, wavs, texts, spec, frames_per_step=frames_per_step)
    out = make(corpus, tmp_path / "gta", mel=spec, batch_size=10)
    made = Shards(out)
    assert {id_: made.length(id_) for id_ in made.ids} == {
        id_: spec.frames(len(wav)) for id_, wav in wavs.items()
    }
    assert len(report(out)) == 8
