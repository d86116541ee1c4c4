"""WaveGAN and SpecGAN reproduce the authors' TensorFlow networks, features and phase shuffle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.official import FixtureFolder, OfficialRun
from wavewright.models.capabilities import require_sampler
from wavewright.models.latent import CriticHead, LatentVocoder
from wavewright.registry import create_vocoder
from wavewright.vocoders.specgan import SpecGAN
from wavewright.vocoders.wavegan import rename_official, shift_phase


def variables(run: OfficialRun) -> dict[str, np.ndarray]:
    with np.load(run.folder / "weights_tf.npz") as arrays:
        return dict(arrays)


def small(name: str, **changes: object) -> LatentVocoder:
    vocoder = create_vocoder(name, channels=6, latent_size=16, **changes)
    assert isinstance(vocoder, LatentVocoder)
    return vocoder


@pytest.mark.parametrize(
    ("folder", "name", "upsample"),
    [
        ("wavegan-tf-generator-small-zeros", "wavegan", "zeros"),
        ("wavegan-tf-generator-small-nn", "wavegan", "nearest"),
        ("specgan-tf-generator-small", "specgan", None),
    ],
)
def test_a_vector_becomes_the_official_sound(
    fixture_folder: FixtureFolder, folder: str, name: str, upsample: str | None
) -> None:
    run = fixture_folder(folder)
    vocoder = small(name, **({"upsample": upsample} if upsample else {}))
    state = rename_official(variables(run), "G")
    assert len(state) == len(run.meta["variables"]), "nothing is left out"
    statistics = {k: v for k, v in vocoder.state_dict().items() if k.startswith("running_")}
    vocoder.load_inference_state({**state, **statistics})
    assert vocoder.parameter_count() == run.meta["n_params"]
    with torch.no_grad():
        made = vocoder.generate_features(torch.from_numpy(run.inputs["z"]))
    (output,) = run.outputs
    expected = torch.from_numpy(run.outputs[output]).squeeze(-1)
    torch.testing.assert_close(
        made.reshape(expected.shape), expected, rtol=0, atol=run.tolerance[output]
    )


@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_the_critic_judges_as_the_official_one(fixture_folder: FixtureFolder, name: str) -> None:
    run = fixture_folder(f"{name}-tf-discriminator-small")
    vocoder = small(name, **({"shuffle": 0} if name == "wavegan" else {}))
    judge = vocoder.build_discriminators()["critic"]
    judge.load_state_dict(rename_official(variables(run), "D"))
    assert sum(value.numel() for value in judge.parameters()) == run.meta["n_params"]
    x = torch.from_numpy(run.inputs["x"]).squeeze(-1)
    x = x if name == "wavegan" else x[:, None]
    with torch.no_grad():
        score = judge(x, torch.full((2,), -1), np.random.default_rng(0))
    expected = torch.from_numpy(run.outputs["logit"])
    torch.testing.assert_close(score, expected, rtol=0, atol=run.tolerance["logit"])


@pytest.mark.parametrize("by", [-2, -1, 0, 1, 2])
def test_phases_are_shuffled_as_officially(fixture_folder: FixtureFolder, by: int) -> None:
    run = fixture_folder("wavegan-tf-phaseshuffle")
    x = torch.from_numpy(run.inputs["x"]).mT
    assert torch.equal(shift_phase(x, by).mT, torch.from_numpy(run.outputs[f"shift_{by}"]))


def test_every_layer_and_call_draws_one_shift_for_the_whole_batch() -> None:
    vocoder = small("wavegan")
    judge = vocoder.build_discriminators()["critic"]
    assert isinstance(judge, CriticHead)
    wav = torch.randn(1, 16384).repeat(2, 1)
    scores = [judge(wav, torch.full((2,), -1), np.random.default_rng(seed)) for seed in range(6)]
    assert all(torch.allclose(score[0], score[1]) for score in scores)
    assert len({f"{float(score[0].detach()):.5f}" for score in scores}) > 3
    random = np.random.default_rng(0)
    judge(wav, torch.full((2,), -1), random)
    other = np.random.default_rng(0)
    other.integers(-2, 3, size=1)
    for _ in range(3):
        other.integers(-2, 3)
    assert random.integers(1000) == other.integers(1000), "four layers drew one number each"


def test_the_filter_at_the_end_keeps_the_length_and_counts() -> None:
    torch.manual_seed(0)
    plain, filtered = small("wavegan"), small("wavegan", filter_size=512)
    assert filtered.parameter_count() == plain.parameter_count() + 512
    state = {**plain.inference_state(), "filter.weight": torch.zeros(1, 1, 512)}
    state["filter.weight"][0, 0, 255] = 1.0  # TensorFlow's SAME puts 255 before and 256 after
    filtered.load_inference_state(state)
    assert torch.equal(filtered.sample(2, seed=0), plain.sample(2, seed=0))
    official = {"G/pp_filt/conv1d/kernel": np.arange(512, dtype=np.float32)[:, None, None]}
    assert rename_official(official, "G")["filter.weight"][0, 0, 7] == 7


@pytest.fixture
def features(fixture_folder: FixtureFolder) -> tuple[SpecGAN, OfficialRun]:
    run = fixture_folder("specgan-tf-features")
    vocoder = small("specgan")
    assert isinstance(vocoder, SpecGAN)
    vocoder.running_mean.copy_(torch.from_numpy(run.inputs["mean"]))
    vocoder.running_std.copy_(torch.from_numpy(run.inputs["std"]))
    return vocoder, run


def test_images_are_the_official_ones(features: tuple[SpecGAN, OfficialRun]) -> None:
    vocoder, run = features
    wav = torch.from_numpy(run.inputs["wav"])[None]
    level, expected = vocoder.log_magnitude(wav), torch.from_numpy(run.outputs["logmag"])
    tolerance = run.tolerance
    torch.testing.assert_close(level.exp(), expected.exp(), rtol=0, atol=tolerance["exp(logmag)"])
    torch.testing.assert_close(level, expected, rtol=0, atol=tolerance["logmag"])
    image, spec = vocoder.extract_features(wav)[:, 0], torch.from_numpy(run.outputs["spec"])[..., 0]
    torch.testing.assert_close(image, spec, rtol=0, atol=tolerance["spec"])


@pytest.mark.parametrize("iterations", [0, 16])
def test_phases_are_found_as_officially(
    features: tuple[SpecGAN, OfficialRun], iterations: int
) -> None:
    vocoder, run = features
    image = torch.from_numpy(run.outputs["spec"])[:, None, :, :, 0]
    vocoder.config = vocoder.config.model_copy(update={"iterations": iterations})
    name = f"griffinlim{iterations}"
    expected = torch.from_numpy(run.outputs[name])[..., 0]
    made = vocoder.features_to_wav(image)
    torch.testing.assert_close(made, expected, rtol=0, atol=run.tolerance[name])


def test_statistics_are_of_the_crops_and_travel_with_the_weights(tmp_path: Path) -> None:
    from wavewright.checkpoints.checkpoint import load_vocoder, write_weights

    vocoder = small("specgan")
    assert isinstance(vocoder, SpecGAN)
    crops = 0.1 * np.random.default_rng(0).standard_normal((3, 16384)).astype(np.float32)
    vocoder.fit_statistics(iter(crops))
    levels: Tensor = vocoder.log_magnitude(torch.from_numpy(crops)).reshape(-1, 129)
    torch.testing.assert_close(vocoder.running_mean, levels.mean(dim=0), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        vocoder.running_std, levels.std(dim=0, unbiased=False), rtol=0, atol=1e-4
    )
    path = tmp_path / "vocoder.safetensors"
    write_weights(path, vocoder, step=0)
    again = load_vocoder(path)
    assert torch.equal(require_sampler(again).sample(2, seed=0), vocoder.sample(2, seed=0))


def test_more_iterations_and_momentum_fit_the_magnitudes_better() -> None:
    vocoder = small("specgan")
    assert isinstance(vocoder, SpecGAN)
    time = torch.arange(16384) / 16000
    chirp = (0.3 * torch.sin(2 * torch.pi * (300 * time + 800 * time.square())))[None]
    magnitude = vocoder.log_magnitude(chirp).exp()

    def misfit(**changes: float) -> float:
        vocoder.config = vocoder.config.model_copy(update=changes)
        found = vocoder.log_magnitude(vocoder.griffin_lim(magnitude)).exp()
        return 1 - float(torch.cosine_similarity(found.flatten(), magnitude.flatten(), dim=0))

    published = misfit(iterations=16, momentum=0.0)
    assert misfit(iterations=60, momentum=0.0) < published
    assert misfit(iterations=60, momentum=0.99) < published
