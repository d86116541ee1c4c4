"""The mel contract at every border, for every pair of conventions.

Whatever meets whatever: the result is exactly right, or it is refused and every differing field is
named with both values. Never is a mel of one convention taken for one of another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support import tiny
from wavewright.audio.files import load_wav, to_pcm16
from wavewright.checkpoints.checkpoint import load_model, load_vocoder, save_checkpoint
from wavewright.data.manifest import COLUMNS, write_manifest
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.evaluation.synthesize import (
    acoustic_mel_source,
    load_eval_systems,
    shard_mel_source,
)
from wavewright.gta.maker import GtaMaker
from wavewright.inference.tts import load_tts
from wavewright.inference.tts_files import synthesize_to_file
from wavewright.inference.vocode import vocode_mel_file
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.acoustic import AcousticOutput
from wavewright.registry import create_model, create_vocoder
from wavewright.training.crops import CropData
from wavewright_stages.train import train

SPECS = {name: MelSpec.preset(name) for name in MelSpec.presets()}
HOUSE = {name: spec.bands_first for name, spec in SPECS.items()}
PAIRS = [*product(SPECS, repeat=2)]
CONVERTIBLE = {"log", "normalisation", "layout", "target_steps", "floor", "guard"}
RATES = {256: (16, 16), 275: (11, 25), 300: (15, 20), 512: (16, 32)}


def same_mel(a: str, b: str) -> bool:
    """Whether both names stand for equal mels in the house."""
    plain = {"target_steps": ()}
    return HOUSE[a].model_copy(update=plain) == HOUSE[b].model_copy(update=plain)


def speech_like(samples: int) -> np.ndarray:
    """Noise that swells and fades, down to digital silence."""
    wav = 0.1 * np.random.default_rng(0).standard_normal(samples)
    faded: np.ndarray = (wav * np.linspace(-0.2, 1, samples).clip(0) ** 3).astype(np.float32)
    return faded


WAV = speech_like(12_000)


def stored(_: str, array: np.ndarray) -> np.ndarray:
    return array


class World(NamedTuple):
    """For each convention: audio, mels, a vocoder, an acoustic model; one utterance."""

    folder: Path

    def audio(self, name: str) -> Path:
        return self.folder / f"prepared-{SPECS[name].sample_rate}" / "audio"

    def prepared(self, name: str) -> Path:
        return self.audio(name).parent

    def mels(self, name: str) -> Path:
        return self.folder / "mels" / name

    def vocoder(self, name: str) -> Path:
        return self.folder / "vocoders" / name

    def acoustic(self, name: str) -> Path:
        return self.folder / "acoustic" / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"))
    for name, spec in HOUSE.items():
        rate = spec.sample_rate
        if not world.audio(name).exists():
            write_shards(
                world.audio(name),
                ["u"],
                partial(stored, array=to_pcm16(WAV)),
                mel=None,
                sample_rate=rate,
            )
            row = {name: "" for name, kind in COLUMNS.items() if kind == "string"} | {
                "id": "u",
                "samples": len(WAV),
                "sample_rate": rate,
                "split": "train",
                "text": "Ah.",
                "normalised_text": "Ah.",
            }
            write_manifest(pd.DataFrame([row]), world.prepared(name) / "manifest.parquet")
        mel = log_mel(torch.from_numpy(WAV), spec).numpy()
        write_shards(
            world.mels(name), ["u"], partial(stored, array=mel), mel=spec, sample_rate=rate
        )
        rates = RATES[spec.hop_length]
        assert prod(rates) == spec.hop_length
        torch.manual_seed(0)
        vocoder = create_vocoder(
            "hifigan",
            mel=spec,
            upsample_rates=rates,
            upsample_kernel_sizes=tuple(2 * rate + rate % 2 for rate in rates),
            upsample_initial_channel=4,
            resblock_kernel_sizes=(3,),
            resblock_dilation_sizes=((1,),),
        )
        save_checkpoint(world.vocoder(name), 1, vocoder)
        save_checkpoint(
            world.acoustic(name),
            1,
            create_model("acoustic", "tacotron2", mel=spec, **tiny.TACOTRON),
        )
    return world


def message_of(cross: Callable[..., object], *given: Any, **named: Any) -> str:
    """What the border says; nothing if it lets pass."""
    try:
        cross(*given, **named)
    except MelMismatch as error:
        return str(error)
    return ""


def expect(a: str, b: str, cross: Callable[..., object], *given: Any, **named: Any) -> None:
    """The border passes equal conventions, and names every field in which others differ."""
    said = message_of(cross, *given, **named)
    assert bool(said) != same_mel(a, b), (a, b, said)
    fields = HOUSE[a].differences(HOUSE[b]).keys() - {"target_steps"}
    assert not said or not {field for field in fields if f"{field} " not in said}, (a, b, said)


def test_pairs_of_equal_conventions_are_few_and_known() -> None:
    equal = {frozenset((a, b)) for a, b in PAIRS if a < b and same_mel(a, b)}
    assert equal == {
        frozenset(pair)
        for pair in (
            ("bigvgan-22k", "hifigan"),
            ("bigvgan-22k", "matcha"),
            ("hifigan", "matcha"),
            ("speechbrain", "tacotron2"),
            ("nemo-hifigan-22k", "nemo2-tacotron2-22k"),
        )
    }


@pytest.mark.parametrize("a", SPECS)
def test_converting_is_exact_or_refused(a: str) -> None:
    """In the layouts of the ecosystems, from the same samples whatever their rate."""
    given = log_mel(torch.from_numpy(WAV), SPECS[a])
    converted = 0
    for b in SPECS:
        if said := message_of(convert_mel, given, SPECS[a], SPECS[b]):
            assert not same_mel(a, b)
            differing = SPECS[a].differences(SPECS[b]).keys() - CONVERTIBLE
            assert not {field for field in differing if f"{field} " not in said}, said
            continue
        found = convert_mel(given, SPECS[a], SPECS[b])
        converted += 1
        expected = log_mel(torch.from_numpy(WAV), SPECS[b])
        assert found.shape == expected.shape
        assert float((found - expected).abs().max()) < 1e-5, (a, b)
    assert converted >= 1, "at least its own"


def test_what_converts_between_presets_is_known() -> None:
    mels = {name: log_mel(torch.from_numpy(WAV), spec) for name, spec in SPECS.items()}
    found = {
        (a, b)
        for a, b in PAIRS
        if not same_mel(a, b) and not message_of(convert_mel, mels[a], SPECS[a], SPECS[b])
    }
    plain = ("bigvgan-22k", "hifigan", "matcha")
    assert found == {
        *((name, "matcha-normalised") for name in plain),
        *(("matcha-normalised", name) for name in plain),
        ("nemo-fastpitch-22k", "nemo2-waveglow-22k"),  # an added floor holds more than a clamped
    }


@pytest.mark.slow
def test_natural_and_gta_mels_of_one_training(world: World) -> None:
    audio = {name: Shards(world.audio(name)) for name in SPECS}
    mels = {name: Shards(world.mels(name)) for name in SPECS}
    for a, b in PAIRS:
        options = {"segment_length": 8 * HOUSE[a].hop_length, "batch_size": 1, "seed": 0}
        expect(a, b, CropData, audio[a], mels[a], ["u"], later_mels=mels[b], **options)


def test_mels_and_the_training_stage(world: World, tmp_path: Path) -> None:
    """Griffin-Lim passes the border, and is refused after it as there is nothing to train."""

    def cross(a: str, b: str) -> None:
        with pytest.raises(WavewrightError, match=r"nothing to train|mel mismatch") as caught:
            train(
                world.prepared(a),
                world.mels(a),
                None,
                None,
                tmp_path,
                mel=HOUSE[b],
                seed=0,
                name="griffinlim",
                max_steps=1,
                segment_length=8 * HOUSE[a].hop_length,
            )
        if isinstance(caught.value, MelMismatch):
            raise caught.value

    for a, b in PAIRS:
        expect(a, b, cross, a, b)


@pytest.mark.slow
def test_vocoders_and_mels_in_the_evaluation(world: World) -> None:
    for a, b in PAIRS:
        trained = {"a": world.vocoder(a)}
        expect(a, b, load_eval_systems, trained, [], HOUSE[b], torch.device("cpu"))
        expect(a, b, shard_mel_source, "gta", world.mels(a), HOUSE[b])


@pytest.mark.slow
def test_acoustic_models_in_the_evaluation_and_for_gta(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {str(world.acoustic(name)): load_model(world.acoustic(name)) for name in SPECS}
    for module in ("evaluation.synthesize", "gta.maker"):
        monkeypatch.setattr(f"wavewright.{module}.load_model", lambda path, *_: models[str(path)])
    device = torch.device("cpu")
    for a, b in PAIRS:
        maker = GtaMaker(
            prepared=world.prepared(b),
            mels=world.mels(b),
            acoustic=world.acoustic(a),
            gta=world.folder / "gta",
            device="cpu",
            seed=0,
            on_missing="fail",
            least_diagonality=None,
            on_bad_alignment="keep",
            dropout_samples=1,
            batch_size=1,
        )
        expect(a, b, getattr, maker, "model")
        expect(
            a, b, acoustic_mel_source, world.acoustic(a), HOUSE[b], device, seed=0, max_seconds=1.0
        )


def test_vocoding_a_file_is_converted_exactly_or_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file's own layout, named by --mel-preset; Griffin-Lim takes any convention."""
    vocoders = {name: load_vocoder(world.vocoder(name)) for name in SPECS}
    monkeypatch.setattr(
        "wavewright.inference.vocode.open_vocoder", lambda path, *_: vocoders[path.name]
    )
    mels = {name: log_mel(torch.from_numpy(WAV[:6000]), spec) for name, spec in SPECS.items()}
    for name, mel in mels.items():
        np.save(tmp_path / f"{name}.npy", mel.numpy())
    for a, b in PAIRS:
        out = tmp_path / "out.wav"
        out.unlink(missing_ok=True)
        said = message_of(
            vocode_mel_file, world.vocoder(b), tmp_path / f"{a}.npy", out, seed=0, mel_preset=a
        )
        assert bool(said) != out.exists()
        if said:
            assert not same_mel(a, b)
            continue
        given = convert_mel(mels[a], SPECS[a], HOUSE[b])
        expected = vocoders[b].generate(given[None])[0].numpy()
        found, _ = load_wav(out)
        np.testing.assert_array_equal(to_pcm16(found), to_pcm16(expected))


def speak_into(out: Path, acoustic: Path, vocoder: Path) -> str:
    return synthesize_to_file("a", load_tts(acoustic, vocoder), out, seed=0)


def test_speech_of_an_acoustic_model_is_converted_exactly_or_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speakers = {name: load_model(world.acoustic(name)) for name in SPECS}
    vocoders = {name: load_vocoder(world.vocoder(name)) for name in SPECS}
    voice = "wavewright.inference.tts"
    monkeypatch.setattr(f"{voice}.load_model", lambda path: speakers[path.name])
    monkeypatch.setattr(f"{voice}.open_vocoder", lambda path, *_: vocoders[path.name])
    for model in speakers.values():
        speech = AcousticOutput(torch.zeros(model.mel_spec.n_mels, 4), torch.zeros(4, 1), True)
        monkeypatch.setattr(model, "generate_batch", lambda *_, speech=speech, **__: [speech])
    for a, b in PAIRS:
        out = tmp_path / "said.wav"
        out.unlink(missing_ok=True)
        said = message_of(speak_into, out, world.acoustic(a), world.vocoder(b))
        exact = not message_of(convert_mel, torch.zeros(HOUSE[a].n_mels, 4), HOUSE[a], HOUSE[b])
        assert bool(said) != exact, (a, b, said)
        assert out.exists() == exact


def test_shards_are_bands_first_whatever_the_ecosystem(tmp_path: Path) -> None:
    spec = SPECS["espnet"]
    mel = log_mel(torch.from_numpy(WAV), spec.bands_first).numpy()
    write_shards(
        tmp_path, ["u"], partial(stored, array=mel), mel=spec, sample_rate=spec.sample_rate
    )
    assert Shards(tmp_path).mel == spec.bands_first != spec


def test_checkpoints_carry_their_convention(world: World) -> None:
    for name, spec in HOUSE.items():
        assert load_vocoder(world.vocoder(name)).mel_spec == spec
        assert Shards(world.mels(name)).mel == spec
