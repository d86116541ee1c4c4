"""The stages mels and train on a corpus of tones: what is made of what, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.data.test_manifest import row
from tests.support import tiny
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training, load_vocoder
from wavewright.data.manifest import write_manifest
from wavewright.data.pitch import write_pitch
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.latent import LatentVocoder
from wavewright.registry import find, list_vocoders
from wavewright_stages.mels import mels as mels_stage
from wavewright_stages.train import train as train_stage

SPLITS = ["train", "train", "train", "train", "dev", "test"]
CONFIG = {name: value for name, value in tiny.HIFIGAN.items() if name != "mel"}
QUICK: dict[str, Any] = {
    "mel": tiny.SPEC,
    "seed": 1,
    "name": "hifigan",
    "config": CONFIG,
    "batch_size": 2,
    "segment_length": 512,
    "validation_utterances": 1,
    "log_every": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_work(tmp_path_factory.mktemp("work"))


def made_work(folder: Path) -> Path:
    """What the stages before would have left: prepared audio, natural mels and GTA mels."""
    prepared = folder / "prepared"
    tiny.corpus(prepared)
    rows = [
        row(id_, split=split, samples=len(tiny.tone(id_)), sample_rate=8000)
        for id_, split in zip(tiny.IDS, SPLITS, strict=True)
    ]
    rows.append(row("gone", split="", reason="too short"))
    write_manifest(pd.DataFrame(rows), prepared / "manifest.parquet")
    (prepared / "mels").rename(folder / "mels")
    made = {id_: tiny.mel(id_, shift=0.5) for id_ in tiny.IDS[:3] + tiny.IDS[4:]}
    write_shards(folder / "gta", list(made), made.__getitem__, mel=tiny.SPEC, sample_rate=8000)
    (folder / "pitch").mkdir()
    mels = Shards(folder / "mels")
    tracks = {id_: np.full(mels.length(id_), 100.0, np.float32) for id_ in tiny.IDS}
    write_pitch(folder / "pitch", tracks, tiny.SPEC)
    return folder


def train(work: Path, out: Path, **options: Any) -> Path:
    out.mkdir(exist_ok=True)
    settings = {**QUICK, "max_steps": 2, **options}
    gta, pitch = settings.pop("gta", None), settings.pop("pitch", None)
    train_stage(work / "prepared", work / "mels", gta, pitch, out, **settings)
    newest = latest_checkpoint(out)
    assert newest is not None
    return newest


def weights_of(step: Path) -> bytes:
    return (step / "vocoder.safetensors").read_bytes()


def test_mels_are_those_of_the_prepared_audio(work: Path, tmp_path: Path) -> None:
    mels_stage(work / "prepared", tmp_path, mel=tiny.SPEC, jobs=1)
    shards = Shards(tmp_path)
    assert shards.ids == tiny.IDS, "quarantined utterances have no mel"
    assert shards.mel == tiny.SPEC
    for utterance in tiny.IDS:
        np.testing.assert_allclose(shards.array(utterance), tiny.mel(utterance), atol=1e-5)


def test_mels_of_another_rate_or_of_too_little_audio_are_refused(
    work: Path, tmp_path: Path
) -> None:
    with pytest.raises(WavewrightError, match=r"audio at 8000 Hz, but mel\.sample_rate is 22050"):
        mels_stage(work / "prepared", tmp_path, mel=MelSpec.preset("hifigan"), jobs=1)
    long = tiny.SPEC.model_copy(update={"n_fft": 4096, "win_length": 4096})
    with pytest.raises(WavewrightError, match=r"utterance 'tone0': .*900 samples is too short"):
        mels_stage(work / "prepared", tmp_path / "a", mel=long, jobs=1)


@pytest.mark.slow
def test_it_trains_validates_and_saves(work: Path, tmp_path: Path) -> None:
    newest = train(work, tmp_path / "run", max_steps=5)
    vocoder = load_vocoder(newest)
    assert (vocoder.name, vocoder.mel_spec) == ("hifigan", tiny.SPEC)
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    curve = [json.loads(line) for line in lines]
    assert [line["step"] for line in curve] == list(range(6))
    assert all(line["mel_l1"] > 0 for line in curve)
    assert len({line["mel_l1"] for line in curve}) == 6


@pytest.mark.slow
def test_the_same_seed_trains_the_same_and_only_from_the_train_split(
    work: Path, tmp_path: Path
) -> None:
    first, second = (train(work, tmp_path / name) for name in ("a", "b"))
    other = train(work, tmp_path / "c", seed=2)
    assert weights_of(first) == weights_of(second) != weights_of(other)


@pytest.mark.slow
def test_natural_then_gta_changes_over_at_its_step(work: Path, tmp_path: Path) -> None:
    """Until then it is a training on natural mels of the same utterances."""
    gta = {"gta": work / "gta", "features": "natural-then-gta", "max_steps": 3}
    both = {start: train(work, tmp_path / str(start), gta_start=start, **gta) for start in (1, 3)}
    states = {start: load_training(step)["players"]["generator"] for start, step in both.items()}
    natural = train(work, tmp_path / "gta-only", gta=work / "gta", features="gta", max_steps=3)
    states[0] = load_training(natural)["players"]["generator"]
    keys = states[0].keys()
    for a, b in ((0, 1), (1, 3), (0, 3)):
        assert any(not torch.equal(states[a][key], states[b][key]) for key in keys), (a, b)


@pytest.mark.slow
def test_gta_mels_may_have_a_learning_rate_of_their_own(work: Path, tmp_path: Path) -> None:
    """From the change-over on, the schedule starts anew; until then nothing differs."""
    gta = {"gta": work / "gta", "features": "natural-then-gta", "gta_start": 2}
    own = {**gta, "gta_learning_rate": 1e-5}
    early = [
        train(work, tmp_path / f"early-{n}", max_steps=2, **o) for n, o in enumerate((gta, own))
    ]
    assert weights_of(early[0]) == weights_of(early[1])
    late = train(work, tmp_path / "late", max_steps=4, **own)
    assert weights_of(train(work, tmp_path / "early-1", max_steps=4, **own)) == weights_of(late)
    for state in load_training(late)["optimisers"].values():
        assert [group["lr"] for group in state["param_groups"]] == [pytest.approx(1e-5, rel=0.01)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": "natural-then-gta"}, r"set train\.gta_start to a step"),
        (
            {"gta_learning_rate": 1e-4},
            r"train\.gta_learning_rate is for features 'natural-then-gta', found 'natural'",
        ),
        ({"features": "gta"}, "train.features is 'gta', but no GTA mels were made"),
        ({"name": "griffinlim", "config": {}}, "'griffinlim' has nothing to train"),
        ({"name": "hifigam"}, "Did you mean 'hifigan'?"),
        ({"segment_length": 500}, "500 is not a multiple of hop_length 16"),
        ({"config": {**CONFIG, "mel_wait": 1}}, "unknown field 'mel_wait'. Did you mean 'mel_weig"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(
    work: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(WavewrightError) as caught:
        train(work, tmp_path, **options)
    assert words.replace("\\", "") in str(caught.value)
    assert not list(tmp_path.glob("step-*"))


def test_the_recipes_convention_must_be_that_of_the_mels(work: Path, tmp_path: Path) -> None:
    other = tiny.SPEC.model_copy(update={"fmin": 50.0})
    with pytest.raises(MelMismatch, match=r"the recipe and the mels in .*: fmin 50\.0 vs 0\.0"):
        train(work, tmp_path, mel=other)


@pytest.fixture(scope="module")
def earlier(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to start from."""
    return train(work, tmp_path_factory.mktemp("earlier") / "run", seed=9).parent


@pytest.mark.slow
@pytest.mark.parametrize("where", ["", "step-00000002"])
def test_a_training_starts_from_weights_and_adversaries(
    work: Path, tmp_path: Path, earlier: Path, where: str
) -> None:
    """Given a run or a step of it; at a learning rate of nothing both stay what they were."""
    still = {**CONFIG, "learning_rate": 0.0, "weight_decay": 0.0}
    newest = train(work, tmp_path, init_from=earlier / where, config=still, max_steps=1)
    source, mine = (
        {
            **load_vocoder(step).state_dict(),
            **load_training(step)["players"]["discriminator"],
        }
        for step in (earlier / "step-00000002", newest)
    )
    assert source.keys() == mine.keys()
    for key, value in source.items():
        if not key.endswith(("_u", "_v")):  # spectral norm's power iteration goes on
            torch.testing.assert_close(mine[key], value, rtol=0, atol=1e-6, msg=key)


@pytest.mark.slow
def test_a_budget_below_what_is_trained_changes_nothing(work: Path, tmp_path: Path) -> None:
    more = train(work, tmp_path / "run", max_steps=4)
    weights = (more / "vocoder.safetensors").read_bytes()
    again = train(work, tmp_path / "run", max_steps=2)
    assert again == more
    assert (again / "vocoder.safetensors").read_bytes() == weights


def test_adversaries_that_do_not_fit_start_anew_and_say_so(
    work: Path, tmp_path: Path, earlier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thin = {**CONFIG, "adversary": {"periods": (2,), "scales": 1, "width_divisor": 8}}
    with caplog.at_level(logging.WARNING, logger="wavewright"):
        train(work, tmp_path, init_from=earlier, config=thin)
    assert "has no discriminator that fits; starting a fresh one" in caplog.text


def test_a_start_of_another_convention_or_shape_is_refused(
    work: Path, tmp_path: Path, earlier: Path
) -> None:
    narrow = {**CONFIG, "upsample_initial_channel": 8}
    with pytest.raises(WavewrightError, match=r"upsample_initial_channel is 16, and .* has 8;"):
        train(work, tmp_path, init_from=earlier, config=narrow)
    with pytest.raises(WavewrightError, match=r"no such checkpoint|holds no checkpoint"):
        train(work, tmp_path, init_from=tmp_path / "nothing")


@pytest.mark.slow
def test_a_resumed_stage_goes_on_from_its_own_checkpoints(
    work: Path, tmp_path: Path, earlier: Path
) -> None:
    """`init_from` counts only at the start."""
    train(work, tmp_path / "a", init_from=earlier, max_steps=2)
    resumed = train(work, tmp_path / "a", init_from=earlier, max_steps=4)
    straight = train(work, tmp_path / "b", init_from=earlier, max_steps=4)
    name = "vocoder.safetensors"
    assert (resumed / name).read_bytes() == (straight / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n in list_vocoders() if hasattr(find("vocoders", n), "updates")]
)
def test_every_vocoder_is_trained_by_any_recipe(work: Path, tmp_path: Path, name: str) -> None:
    """Whatever the mel's hop length, and though its adversaries start late."""
    config = {
        key: value
        for key, value in tiny.SMALL[name].items()
        if key not in ("mel", "upsample_rates", "upsample_kernel_sizes")
    }
    pitch = {"pitch": work / "pitch"} if find("vocoders", name).crops.f0 else {}
    train(work, tmp_path, name=name, config=config, adversary_start=1, **pitch)
    vocoder = load_vocoder(tmp_path)
    assert vocoder.mel_spec == tiny.SPEC
    assert getattr(vocoder.config, "adversary_start", 1) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavenet:unconditional", "wavernn:dual-softmax"])
def test_one_that_no_mel_drives_is_judged_by_likelihood_and_heard(
    work: Path, tmp_path: Path, name: str
) -> None:
    config = {key: value for key, value in tiny.SMALL[name].items() if key != "mel"}
    train(work, tmp_path, name=name, config=config, logged_utterances=2, compute_mels=True)
    lines = [json.loads(s) for s in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(0 < line["bits_per_sample"] < 20 for line in lines)
    assert all(0 < line["ltas_db"] < 100 and "mel_l1" not in line for line in lines)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "logs" / "tensorboard"), size_guidance={"audio": 0})
    heard = events.Reload().Tags()["audio"]
    assert sorted(heard) == ["sample/0", "sample/1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_one_that_a_vector_drives_learns_classes_from_the_corpus(
    work: Path, tmp_path: Path, name: str
) -> None:
    config = {key: value for key, value in tiny.SMALL[name].items() if key != "mel"}
    classes = {**config, "classes": ["Ten.", "Ah."], "labelled_by": "text"}
    train(work, tmp_path / "a", name=name, config=classes, max_steps=6, validation_utterances=3)
    vocoder = load_vocoder(tmp_path / "a")
    assert isinstance(vocoder, LatentVocoder)
    vocoder.label = "Ten."
    one = vocoder.sample(2, seed=0)
    vocoder.label = "Ah."
    assert not torch.equal(vocoder.sample(2, seed=0), one)
    with pytest.raises(WavewrightError, match=r"knows no class 'Oh\.'. Did you mean 'Ah\.'"):
        vocoder.label = "Oh."
    with pytest.raises(WavewrightError, match=r"knows no class 'Ten\.'. .*Classes: Oh\."):
        train(work, tmp_path / "b", name=name, config={**classes, "classes": ["Oh."]})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_a_resumed_game_goes_on_exactly(work: Path, tmp_path: Path, name: str) -> None:
    config = {key: value for key, value in tiny.SMALL[name].items() if key != "mel"}
    train(work, tmp_path / "a", name=name, config=config, max_steps=3)
    resumed = train(work, tmp_path / "a", name=name, config=config, max_steps=7)
    straight = train(work, tmp_path / "b", name=name, config=config, max_steps=7)
    weights = "vocoder.safetensors"
    assert (resumed / weights).read_bytes() == (straight / weights).read_bytes()
    critics = [load_training(step)["players"]["critic"] for step in (resumed, straight)]
    assert all(torch.equal(critics[0][key], critics[1][key]) for key in critics[0])


def test_rates_of_the_recipe_stand(work: Path, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"upsample_rates \(8, 8\) multiply to 64, but mel"):
        train(work, tmp_path, config={**CONFIG, "upsample_rates": (8, 8)})


@pytest.mark.slow
def test_a_training_without_validation_ends_well(work: Path, tmp_path: Path) -> None:
    """Its weights are those of one with it, and there is nothing to draw."""
    newest = train(work, tmp_path / "blind", validation_utterances=0)
    assert weights_of(newest) == weights_of(train(work, tmp_path / "seeing"))
    assert not (tmp_path / "blind" / "validation.png").exists()
