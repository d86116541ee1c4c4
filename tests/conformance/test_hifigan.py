"""HiFi-GAN reproduces the authors' generators and multi-period discriminator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from tests.support.official import FixtureFolder
from wavewright.models.vocoder import Vocoder
from wavewright.nn.gan_losses import (
    feature_matching,
    least_squares_discriminator,
    least_squares_generator,
)
from wavewright.nn.multi_period import MultiPeriodDiscriminator
from wavewright.nn.multi_scale import MultiScaleDiscriminator
from wavewright.nn.weight_norm import fold_weight_norm, load_folded
from wavewright.registry import create_vocoder
from wavewright.vocoders.hifigan import rename_parallel_wavegan

# The first is V1 with fewer channels, as its config.json says.
GENERATORS = [
    ("hifigan-v1-small", "hifigan:v1", {"upsample_initial_channel": 96}),
    ("hifigan-v2", "hifigan:v2", {}),
    ("hifigan-v3", "hifigan:v3", {}),
]
OLD_G, OLD_V = "weight_g", "weight_v"
NEW_G, NEW_V = "parametrizations.weight.original0", "parametrizations.weight.original1"


@pytest.mark.parametrize(("folder", "name", "changes"), GENERATORS)
def test_the_generator_gives_the_official_waveform(
    fixture_folder: FixtureFolder, folder: str, name: str, changes: dict[str, Any]
) -> None:
    run = fixture_folder(folder)
    vocoder = create_vocoder(name, **changes)
    vocoder.load_inference_state(fold_weight_norm(run.state_dict))
    assert vocoder.parameter_count() == run.meta["n_params"]
    wav = vocoder.generate(torch.from_numpy(run.inputs["mel"]))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


@pytest.mark.parametrize(("folder", "name", "changes"), GENERATORS)
def test_the_configuration_is_the_official_one(
    fixture_folder: FixtureFolder, folder: str, name: str, changes: dict[str, Any]
) -> None:
    official = fixture_folder(folder).config
    ours = create_vocoder(name, **changes).config.model_dump(mode="json")
    mel = ours["mel"]
    assert ours["resblock"] == int(official["resblock"])
    for field in (
        "upsample_rates",
        "upsample_kernel_sizes",
        "upsample_initial_channel",
        "resblock_kernel_sizes",
        "resblock_dilation_sizes",
        "learning_rate",
    ):
        assert ours[field] == official[field], field
    assert ours["betas"] == [official["adam_b1"], official["adam_b2"]]
    assert ours["learning_rate_decay"] == official["lr_decay"]
    assert (mel["sample_rate"], mel["n_fft"], mel["hop_length"], mel["win_length"]) == tuple(
        official[field] for field in ("sampling_rate", "n_fft", "hop_size", "win_size")
    )
    assert (mel["n_mels"], mel["fmin"], mel["fmax"]) == tuple(
        official[field] for field in ("num_mels", "fmin", "fmax")
    )


def test_parallel_wavegans_hifigan_gives_the_same_waveform(fixture_folder: FixtureFolder) -> None:
    run = fixture_folder("pwg-hifigan-small")
    vocoder = create_vocoder("hifigan:v1", upsample_initial_channel=run.config["channels"])
    state = rename_parallel_wavegan(run.state_dict)
    assert len(state) == len(fold_weight_norm(run.state_dict)), "nothing is left out"
    vocoder.load_inference_state(state)
    assert vocoder.parameter_count() == run.meta["n_params"]
    wav = vocoder.generate(torch.from_numpy(run.inputs["mel_normalized"]))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


def test_both_spellings_of_weight_norm_load_to_the_same(fixture_folder: FixtureFolder) -> None:
    old = fixture_folder("hifigan-v3").state_dict
    new = {key.replace(OLD_G, NEW_G).replace(OLD_V, NEW_V): value for key, value in old.items()}
    assert old.keys().isdisjoint(key for key in new if "original" in key)
    waveforms = []
    mel = torch.randn(1, 80, 6, generator=torch.Generator().manual_seed(0))
    for state in (old, new):
        vocoder = create_vocoder("hifigan:v3")
        vocoder.load_inference_state(fold_weight_norm(state))
        waveforms.append(vocoder.generate(mel))
    assert torch.equal(*waveforms)
    assert float(waveforms[0].abs().max()) > 1e-3


def test_weight_norm_does_not_change_what_a_generator_says(fixture_folder: FixtureFolder) -> None:
    run = fixture_folder("hifigan-v1-small")
    vocoder = create_vocoder("hifigan", upsample_initial_channel=96)
    vocoder.load_inference_state(fold_weight_norm(run.state_dict))
    mel = torch.from_numpy(run.inputs["mel"])
    plain = vocoder.generate(mel)
    vocoder.prepare_for_training()
    assert parametrize.is_parametrized(vocoder.conv_pre)  # type: ignore[arg-type]
    torch.testing.assert_close(vocoder.generate(mel), plain, rtol=0, atol=1e-5)
    kept = vocoder.inference_state()
    assert not [key for key in kept if "original" in key]
    again = create_vocoder("hifigan", upsample_initial_channel=96)
    again.load_inference_state(kept)
    torch.testing.assert_close(again.generate(mel), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count"),
    [("hifigan:v1", 13_926_017), ("hifigan:v2", 925_985), ("hifigan:v3", 1_462_273)],
)
def test_parameters_are_the_published_ones_in_every_state(name: str, count: int) -> None:
    vocoder: Vocoder = create_vocoder(name)
    assert vocoder.parameter_count() == count
    if name != "hifigan:v1":  # building the full adversaries once is enough
        vocoder.prepare_for_training()
        assert vocoder.parameter_count() == count, "weight norm and adversaries do not count"


@pytest.fixture(scope="module")
def multi_period(fixture_folder: FixtureFolder) -> MultiPeriodDiscriminator:
    discriminator = MultiPeriodDiscriminator()
    load_folded(discriminator, fold_weight_norm(fixture_folder("hifigan-mpd-seeded").state_dict))
    return discriminator.eval()


@torch.no_grad()
def test_the_multi_period_discriminator_gives_the_official_scores(
    fixture_folder: FixtureFolder, multi_period: MultiPeriodDiscriminator
) -> None:
    run = fixture_folder("hifigan-mpd-seeded")
    real, real_features = multi_period(torch.from_numpy(run.inputs["y"]).squeeze(1))
    fake, fake_features = multi_period(torch.from_numpy(run.inputs["y_hat"]).squeeze(1))

    def check(found: Tensor, name: str, kind: str) -> None:
        expected = torch.from_numpy(run.outputs[name]).reshape(found.shape)
        torch.testing.assert_close(found, expected, rtol=0, atol=run.tolerance[kind], msg=name)

    for i in range(5):
        check(real[i], f"score_real_{i}", "scores")
        check(fake[i], f"score_fake_{i}", "scores")
        assert len(real_features[i]) == 6
        for j, feature in enumerate(real_features[i]):
            check(feature.mean(), f"fmap_real_{i}_{j}_mean", "scores")
            check(feature.std(), f"fmap_real_{i}_{j}_std", "scores")
    check(least_squares_discriminator(real, fake), "loss_disc", "losses")
    check(least_squares_generator(fake), "loss_gen_adv", "losses")
    # The official function has the published weight of 2 inside; ours is in the config.
    check(2 * feature_matching(real_features, fake_features), "loss_fm", "losses")


def test_discriminators_have_the_published_sizes(multi_period: MultiPeriodDiscriminator) -> None:
    def count(module: torch.nn.Module) -> int:
        """Weights and biases, with both reparametrisations folded."""
        stored = {key for key, _ in module.named_parameters()}
        state = fold_weight_norm({k: v for k, v in module.state_dict().items() if k in stored})
        return sum(value.numel() for value in state.values())

    assert count(multi_period) == 41_092_165
    assert count(MultiScaleDiscriminator()) == 29_610_627


def test_only_the_first_scale_is_spectrally_normalised() -> None:
    """Its largest singular values are 1; weight norm leaves those of the others where they were."""
    torch.manual_seed(0)
    scales = MultiScaleDiscriminator(width_divisor=8)
    for _ in range(100):  # each forward in training is one power iteration
        scales(torch.zeros(1, 256))
    first, *others = (scale.convs[3].weight.flatten(1) for scale in scales.discriminators)  # type: ignore[index, union-attr]
    assert float(torch.linalg.matrix_norm(first.detach(), 2)) == pytest.approx(1.0, abs=0.02)
    for weight in others:
        assert float(torch.linalg.matrix_norm(weight.detach(), 2)) != pytest.approx(1.0, abs=0.02)


def test_the_old_spectral_norm_keeps_its_vector() -> None:
    """Its `weight_v` is named like weight norm's, and belongs to no `weight_g`."""
    state = {
        "a.weight_g": torch.ones(2, 1),
        "a.weight_v": torch.ones(2, 3),
        "b.weight_orig": torch.ones(2, 3),
        "b.weight_u": torch.ones(2),
        "b.weight_v": torch.ones(3),
    }
    assert fold_weight_norm(state).keys() == {
        "a.weight",
        "b.weight_orig",
        "b.weight_u",
        "b.weight_v",
    }
