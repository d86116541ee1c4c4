"""Multi-band MelGAN is ParallelWaveGAN's: its generator, its sizes, its losses.

The whole of it is held against the real package in tests/clients/test_parallel_wavegan.py.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support import tiny
from tests.support.official import FixtureFolder
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.batch import Batch
from wavewright.nn.spectral import stft_losses
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder
from wavewright.vocoders.multiband_melgan import MultiBandMelGAN, rename_parallel_wavegan


def built(**changes: Any) -> MultiBandMelGAN:
    torch.manual_seed(0)
    vocoder = create_vocoder("multiband_melgan", **changes)
    assert isinstance(vocoder, MultiBandMelGAN)
    return vocoder


def test_every_band_is_said_as_the_official_generator_says_it(
    fixture_folder: FixtureFolder,
) -> None:
    """That of one band, its last convolution four times over."""
    run = fixture_folder("pwg-melgan-small")
    official = fold_weight_norm(run.state_dict)
    last = max(int(key.split(".")[1]) for key in official)
    for kind in ("weight", "bias"):
        key = f"melgan.{last}.{kind}"
        official[key] = torch.cat([official[key]] * 4)
    spec = built().mel_spec.model_copy(update={"hop_length": 4 * 256})
    vocoder = built(
        mel=spec,
        channels=run.config["channels"],
        upsample_rates=tuple(run.config["upsample_scales"]),
        residual_layers=run.config["stacks"],
    )
    state = rename_parallel_wavegan(official)
    assert len(state) == len(official), "nothing is left out"
    vocoder.load_inference_state(state)
    with torch.no_grad():
        parts = vocoder.parts(torch.from_numpy(run.inputs["mel_normalized"]))
    expected = torch.from_numpy(run.outputs["wav"]).expand(-1, 4, -1)
    torch.testing.assert_close(parts, expected, rtol=0, atol=run.tolerance["wav"])


@pytest.mark.parametrize("spelling", ["old", "new"])
def test_both_spellings_of_weight_norm_are_read(
    fixture_folder: FixtureFolder, spelling: str
) -> None:
    old = fixture_folder("pwg-melgan-small").state_dict
    new = {"weight_g": "original0", "weight_v": "original1"}
    state = {}
    for key, value in old.items():
        stem, _, kind = key.rpartition(".")
        respelled = spelling == "new" and kind in new
        state[f"{stem}.parametrizations.weight.{new[kind]}" if respelled else key] = value
    expected = rename_parallel_wavegan(fold_weight_norm(old))
    found = rename_parallel_wavegan(state)
    assert {"conv_pre.weight", "ups.3.bias", "blocks.0.2.shortcut.weight"} <= found.keys()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


def test_sizes_are_those_of_version_2() -> None:
    vocoder = built()
    assert (vocoder.parameter_count(), vocoder.hop_length) == (2_534_356, 256)
    judges = fold_weight_norm(vocoder.build_discriminators()["discriminator"].state_dict())
    assert sum(value.numel() for value in judges.values()) == 4_350_915


def test_the_schedule_is_that_of_version_2() -> None:
    vocoder = built()
    rules = [vocoder.optimizer_config(player) for player in ("generator", "discriminator")]
    assert all((rule.amsgrad, rule.eps, rule.clip_norm) == (True, 1e-7, None) for rule in rules)
    assert [rule.starts_at for rule in rules] == [0, 200_000]
    steps = (0, 99_999, 100_000, 600_000, 10**6)
    rates = [rules[0].rate(step, 1) for step in steps]
    assert rates == [1e-3, 1e-3, 5e-4, 1e-3 / 64, 1e-3 / 64]


def crops(vocoder: MultiBandMelGAN) -> Batch:
    random = torch.Generator().manual_seed(2)
    wav = 0.1 * torch.randn(2, 64 * vocoder.hop_length, generator=random)
    mel = torch.randn(2, vocoder.mel_spec.n_mels, 64, generator=random) - 3
    return Batch(wav, mel, ["a", "b"])


def small(**changes: Any) -> MultiBandMelGAN:
    vocoder = built(**{**tiny.SMALL["multiband_melgan"], **changes})
    vocoder.prepare_for_training()
    return vocoder


def spectral(vocoder: MultiBandMelGAN, batch: Batch) -> Tensor:
    """Half of the whole waveform's losses, half of its bands', one STFT after the other."""
    parts = vocoder.parts(batch.mel)
    real = vocoder.filters.analysis(batch.wav)
    pairs = [
        (vocoder.filters.synthesis(parts), batch.wav, vocoder.config.resolutions),
        (parts.reshape(8, -1), real.reshape(8, -1), vocoder.config.band_resolutions),
    ]
    terms = [
        torch.stack(stft_losses(fake, true, [resolution])).sum() / len(resolutions)
        for fake, true, resolutions in pairs
        for resolution in resolutions
    ]
    return 0.5 * torch.stack(terms).sum()


def test_until_the_discriminators_start_only_spectra_teach() -> None:
    vocoder = small(adversary_start=5)
    batch = crops(vocoder)
    updates = list(vocoder.updates(batch, 4))
    assert [update.player for update in updates] == ["generator"]
    torch.testing.assert_close(updates[0].loss, spectral(vocoder, batch))
    assert [update.player for update in vocoder.updates(batch, 5)] == ["generator", "discriminator"]


def test_afterwards_the_mean_of_the_scales_is_added() -> None:
    vocoder = small(adversary_start=0)
    batch = crops(vocoder)
    judge = vocoder.discriminators["discriminator"]
    generator, critic = vocoder.updates(batch, 0)
    with torch.no_grad():
        said = judge(vocoder(batch.mel))[0]
        true = judge(batch.wav)[0]
    squares = [float((1 - scores).square().mean()) for scores in said]
    expected = float(spectral(vocoder, batch).detach()) + 2.5 * sum(squares) / len(squares)
    assert generator.loss.item() == pytest.approx(expected, rel=1e-5)
    losses = [
        float((1 - r).square().mean() + f.square().mean()) for r, f in zip(true, said, strict=True)
    ]
    assert critic.loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_bfloat16_reaches_neither_the_filters_nor_the_losses() -> None:
    vocoder = small()
    batch, exact = crops(vocoder), copy.deepcopy(vocoder)
    with torch.autocast("cpu", torch.bfloat16):
        loss = next(vocoder.updates(batch, 0)).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(next(exact.updates(batch, 0)).loss.item(), rel=0.02)


@pytest.mark.parametrize("rates", [(8, 4, 2), (5, 5, 3), (2, 32)])
def test_fewer_frames_than_can_be_reflected_are_spoken_with_silence_after_them(
    rates: tuple[int, ...],
) -> None:
    """Convolutions that reflect need some frames, the more the smaller the first rate is."""
    spec = built().mel_spec.model_copy(update={"hop_length": 4 * math.prod(rates)})
    vocoder = built(mel=spec, upsample_rates=rates, channels=8).eval()
    mel = torch.randn(1, 80, 1)
    followed = vocoder.pad_end(mel)
    fewest = followed.shape[-1]
    assert torch.equal(followed[0, :, 1:].T, torch.tensor(spec.silence).expand(fewest - 1, 80))
    with torch.no_grad(), pytest.raises(RuntimeError, match="Padding size"):
        vocoder(followed[..., 1:])
    longer = vocoder.generate(followed)
    torch.testing.assert_close(
        vocoder.generate(mel), longer[:, : vocoder.hop_length], rtol=0, atol=1e-6
    )
    assert vocoder.pad_end(longer.new_zeros(1, 80, fewest)).shape[-1] == fewest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": 2}, r"multiply to 128, but mel\.hop_length is 256; rates that fit: \(8, 4, 4\)"),
        ({"bands": 3}, "bands must divide it"),
        (
            {"mel": MelSpec.preset("parallel-wavegan").model_copy(update={"hop_length": 148})},
            "its share of a band, 37, is no product of small rates",
        ),
        ({"channels": 100}, "channels 100 must be a multiple of 8"),
        ({"cutoff": 0.2}, r"by 3\.0 dB with 4 bands, 62 taps and beta 9; the best is 0\.142"),
        (
            {"bands": 2, "upsample_rates": (8, 4, 4)},
            r"cutoff 0\.142 would .* with 2 bands.*; the best is 0\.267",
        ),
        ({"taps": 63}, "taps"),
    ],
)
def test_what_does_not_join_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(WavewrightError, match=f"multiband_melgan: .*{words}"):
        built(**changes)
