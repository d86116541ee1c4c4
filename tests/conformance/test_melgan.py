"""MelGAN reproduces both implementations' generators, and the discriminator with its losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.official import FixtureFolder
from wavewright.nn.gan_losses import feature_matching
from wavewright.nn.melgan_discriminator import MelGANDiscriminator
from wavewright.nn.weight_norm import fold_weight_norm, load_folded
from wavewright.registry import create_vocoder
from wavewright.vocoders.melgan import (
    MelGAN,
    rename_official,
    summed_squares_discriminator,
    summed_squares_generator,
)

# Fixtures named small are the same with fewer channels, as their config.json says.
GENERATORS: list[tuple[str, str, dict[str, Any], str]] = [
    ("melgan-descript-official-seeded", "melgan:descript", {}, "mel"),
    ("melgan-descript-small", "melgan:descript", {"base_channels": 10}, "mel"),
    ("melgan-seungwonpark-small", "melgan:seungwonpark", {"base_channels": 8}, "mel"),
    ("pwg-melgan-small", "melgan:descript", {"base_channels": 16}, "mel_normalized"),
]


@pytest.mark.parametrize(("folder", "name", "changes", "given"), GENERATORS)
def test_the_generator_gives_the_official_waveform(
    fixture_folder: FixtureFolder, folder: str, name: str, changes: dict[str, Any], given: str
) -> None:
    run = fixture_folder(folder)
    vocoder = create_vocoder(name, **changes)
    assert isinstance(vocoder, MelGAN)
    state = rename_official(run.state_dict, vocoder.config)
    assert len(state) == len(fold_weight_norm(run.state_dict)), "nothing is left out"
    vocoder.load_inference_state(state)
    assert vocoder.parameter_count() == run.meta["n_params"]
    with torch.no_grad():
        wav = vocoder(torch.from_numpy(run.inputs[given]))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


@pytest.mark.parametrize("name", ["melgan", "melgan:descript", "melgan:seungwonpark"])
def test_parameters_are_the_published_ones(name: str) -> None:
    vocoder = create_vocoder(name)
    assert vocoder.parameter_count() == 4_260_257
    assert vocoder.mel_spec.n_mels == 80


def test_a_tail_of_silence_is_cut_off_again() -> None:
    torch.manual_seed(0)
    park = create_vocoder("melgan:seungwonpark", base_channels=4)
    mel = torch.randn(1, 80, 20) - 5
    short = create_vocoder("melgan:seungwonpark", base_channels=4, tail_frames=0)
    short.load_inference_state(park.inference_state())
    long, plain = park.generate(mel), short.generate(mel)
    assert long.shape == plain.shape == (1, 20 * 256)
    torch.testing.assert_close(long[:, : 12 * 256], plain[:, : 12 * 256])
    assert not torch.equal(long[:, -256:], plain[:, -256:])


@pytest.fixture(scope="module")
def discriminator(fixture_folder: FixtureFolder) -> MelGANDiscriminator:
    module = create_vocoder("melgan").build_discriminators()["discriminator"]
    assert isinstance(module, MelGANDiscriminator)
    renamed: dict[str, Tensor] = {}
    for key, value in fixture_folder("melgan-seungwonpark-disc-seeded").state_dict.items():
        _, scale, _, layer, rest = key.split(".", 4)
        place = "conv_post" if layer == "6" else f"convs.{layer}"
        renamed[f"discriminators.{scale}.{place}.{rest.split('.')[-1]}"] = value
    load_folded(module, fold_weight_norm(renamed))
    return module.eval()


@torch.no_grad()
def test_the_discriminator_gives_the_official_scores_and_losses(
    fixture_folder: FixtureFolder, discriminator: MelGANDiscriminator
) -> None:
    run = fixture_folder("melgan-seungwonpark-disc-seeded")
    real, real_features = discriminator(torch.from_numpy(run.inputs["y"]).squeeze(1))
    fake, fake_features = discriminator(torch.from_numpy(run.inputs["y_hat"]).squeeze(1))
    for scale in range(3):
        for found, kind in ((real, "real"), (fake, "fake")):
            expected = torch.from_numpy(run.outputs[f"score_{kind}_{scale}"]).flatten(1)
            torch.testing.assert_close(found[scale], expected, rtol=0, atol=run.tolerance["scores"])
    critic = summed_squares_discriminator(real, fake)
    generator = summed_squares_generator(fake) + 10 * feature_matching(real_features, fake_features)
    rtol = run.tolerance["losses_relative"]
    assert float(critic) == pytest.approx(float(run.outputs["loss_d"][0]), rel=rtol)
    assert float(generator) == pytest.approx(float(run.outputs["loss_g_total"][0]), rel=rtol)


def test_the_discriminator_has_the_published_size(
    discriminator: MelGANDiscriminator,
) -> None:
    state = fold_weight_norm(discriminator.state_dict())
    assert sum(value.numel() for value in state.values()) == 16_913_859
