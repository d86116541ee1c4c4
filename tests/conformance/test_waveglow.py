"""WaveGlow reproduces NVIDIA's in both directions, its loss and its denoiser."""

from __future__ import annotations

import math
import pickle
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support import tiny
from tests.support.official import FixtureFolder, OfficialRun
from wavewright.checkpoints.pickle_reader import read_pickled_checkpoint
from wavewright.errors import WavewrightError
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.interop.importing.official_names import rename_waveglow
from wavewright.models.batch import Batch
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder
from wavewright.vocoders.waveglow import (
    Coupling,
    WaveGlow,
    bias_of,
    denoised,
)


def official(run: OfficialRun) -> WaveGlow:
    given, network = run.config, run.config["WN_config"]
    mel = create_vocoder("waveglow").mel_spec.model_copy(update={"n_mels": given["n_mel_channels"]})
    vocoder = create_vocoder(
        "waveglow",
        mel=mel,
        flows=given["n_flows"],
        group=given["n_group"],
        early_every=given["n_early_every"],
        early_size=given["n_early_size"],
        channels=network["n_channels"],
        layers=network["n_layers"],
        kernel_size=network["kernel_size"],
    )
    assert isinstance(vocoder, WaveGlow)
    state = rename_waveglow(run.state_dict)
    assert len(state) == len(fold_weight_norm(run.state_dict)), "nothing is left out"
    vocoder.load_inference_state(state)
    assert vocoder.parameter_count() == run.meta["n_params"]
    return vocoder.eval()


def arrays(run: OfficialRun) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return (
        {key: torch.from_numpy(value) for key, value in run.inputs.items()},
        {key: torch.from_numpy(value) for key, value in run.outputs.items()},
    )


@torch.no_grad()
def test_speech_becomes_the_official_noise_and_comes_back(fixture_folder: FixtureFolder) -> None:
    run = fixture_folder("waveglow-small")
    vocoder, (given, expected) = official(run), arrays(run)
    encoded = vocoder(given["audio"], given["mel"])

    def close(found: Tensor, name: str) -> None:
        torch.testing.assert_close(found, expected[name], rtol=0, atol=run.tolerance[name])

    close(encoded.z, "z")
    for k, log_scale in enumerate(encoded.log_scales):
        close(log_scale, f"log_s_{k}")
    batch, _, steps = encoded.z.shape
    close(batch * steps * torch.stack(encoded.log_dets), "log_det_W")
    close(vocoder.nats(encoded).mean()[None], "loss")
    back = vocoder.inverse(encoded.z, given["mel"])
    close(back, "audio_inverted_from_z")
    torch.testing.assert_close(back, given["audio"], rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_noise_becomes_the_official_speech(fixture_folder: FixtureFolder, sigma: float) -> None:
    run = fixture_folder("waveglow-small")
    vocoder, (given, expected) = official(run), arrays(run)
    # The official code draws what leaves last first.
    noise = torch.cat([given[f"infer_noise_{i}"] for i in (2, 1, 0)], dim=1)
    wav = vocoder.inverse(sigma * noise, given["mel"])
    name = f"audio_infer_sigma{sigma:g}"
    torch.testing.assert_close(wav, expected[name], rtol=0, atol=run.tolerance[name])


@torch.no_grad()
def test_the_denoiser_is_the_official_one(fixture_folder: FixtureFolder) -> None:
    run = fixture_folder("waveglow-denoiser")
    given, expected = arrays(run)
    bias = bias_of(given["bias_audio"])
    torch.testing.assert_close(
        bias.mT, expected["bias_spec"], rtol=0, atol=run.tolerance["bias_spec"]
    )
    for strength in (0.1, 1.0):
        name = f"denoised_{strength}"
        wav = denoised(given["audio"], bias, strength)
        torch.testing.assert_close(wav, expected[name][:, 0], rtol=0, atol=run.tolerance[name])
    whole = denoised(given["audio"], bias, 0.0)
    torch.testing.assert_close(
        whole, expected["stft_roundtrip"][:, 0], rtol=0, atol=run.tolerance["stft_roundtrip"]
    )


def small(**changes: Any) -> WaveGlow:
    """Whose couplings do something, unlike at the start of a training."""
    torch.manual_seed(0)
    vocoder = create_vocoder("waveglow", **{**tiny.SMALL["waveglow"], **changes})
    assert isinstance(vocoder, WaveGlow)
    for coupling in vocoder.couplings:
        assert isinstance(coupling, Coupling)
        nn.init.normal_(coupling.end.weight, std=0.1)
    return vocoder


def batch_of(vocoder: WaveGlow, frames: int, items: int = 1) -> Batch:
    random = torch.Generator().manual_seed(3)
    wav = 0.1 * torch.randn(items, frames * vocoder.hop_length, generator=random)
    mel = torch.randn(items, vocoder.mel_spec.n_mels, frames, generator=random)
    return Batch(wav, mel, [str(item) for item in range(items)])


@pytest.mark.parametrize("turned", [False, True])
def test_the_likelihood_is_that_of_a_change_of_variables(turned: bool) -> None:
    """log p(x) = log N(f(x)) + log |det df/dx|, by autograd's Jacobian, either way turned."""
    vocoder = small(sigma=0.7)
    if turned:
        with torch.no_grad():
            next(vocoder.mixing[1].parameters())[0].neg_()
    batch = batch_of(vocoder, 2)

    def noise(wav: Tensor) -> Tensor:
        z: Tensor = vocoder(wav, batch.mel).z
        return z.mT.flatten()

    jacobian: Any = torch.autograd.functional.jacobian(noise, batch.wav)  # type: ignore[no-untyped-call]
    size = batch.wav.numel()
    _, log_det = torch.linalg.slogdet(jacobian.reshape(size, size).double())
    gaussian = torch.distributions.Normal(0.0, 0.7)
    density = gaussian.log_prob(noise(batch.wav).double()).sum() + log_det  # type: ignore[no-untyped-call]
    bits = -density / size / math.log(2) + 15
    found = vocoder.bits_per_sample(batch)
    torch.testing.assert_close(found.double(), bits[None], rtol=0, atol=1e-4)


def test_new_weights_are_heard_at_once() -> None:
    """Infer, train a step, infer again: the inverse is that of the weights there are."""
    vocoder = small(temperature=1.0)
    batch = batch_of(vocoder, 4)
    before = vocoder.generate(batch.mel, seed=0)
    vocoder.prepare_for_training()
    optimiser = torch.optim.SGD(vocoder.parameters(), lr=0.1)
    for update in vocoder.updates(batch, 0):
        update.loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    after = vocoder.generate(batch.mel, seed=0)
    assert not torch.allclose(after, before, atol=1e-3)
    twin = small(temperature=1.0)
    twin.load_inference_state(vocoder.inference_state())
    torch.testing.assert_close(after, twin.generate(batch.mel, seed=0), rtol=0, atol=1e-5)
    with torch.no_grad():
        encoded = vocoder(batch.wav, batch.mel)
        back = vocoder.inverse(encoded.z, batch.mel)
    torch.testing.assert_close(back, batch.wav, rtol=0, atol=1e-4)


def test_the_denoiser_listens_to_the_weights_there_are() -> None:
    vocoder = small(denoise=0.5, temperature=1.0)
    plain = small(temperature=1.0)
    mel = batch_of(vocoder, 40).mel
    heard = vocoder.generate(mel, seed=0)
    assert not torch.allclose(heard, plain.generate(mel, seed=0), atol=1e-4)
    with torch.no_grad():
        vocoder.get_parameter("upsampler.bias").add_(0.5)
    fresh = small(denoise=0.5, temperature=1.0)
    fresh.load_inference_state(vocoder.inference_state())
    assert torch.equal(vocoder.generate(mel, seed=0), fresh.generate(mel, seed=0))


def test_less_temperature_is_less_noise() -> None:
    vocoder, still = small(temperature=0.6), small(temperature=0.0)
    mel = batch_of(vocoder, 12).mel
    assert float(vocoder.generate(mel, seed=0).std()) > float(still.generate(mel, seed=0).std())
    assert torch.equal(still.generate(mel, seed=0), still.generate(mel, seed=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flows": 20}, "leaves .* channels"),
        ({"early_size": 1}, "must be even and positive"),
        ({"group": 6}, "is no multiple of group 6"),
        ({"kernel_size": 2}, "kernel_size 2 must be odd"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WavewrightError, match=message):
        small(**changes)


# The authors' modules as their files name them, to be pickled whole.
_OTHERS = types.ModuleType("glow")


def _class(name: str, base: type = nn.Module) -> Any:
    if not hasattr(_OTHERS, name):
        setattr(_OTHERS, name, type(name, (base,), {"__module__": "glow"}))
    return getattr(_OTHERS, name)


def as_authors_pickle(state: dict[str, Tensor], path: Path, **options: Any) -> None:
    """A file as the authors save theirs: the module itself, hooks, optimiser and all."""
    root = _class("WaveGlow")()
    for key, value in state.items():
        *place, attribute = key.split(".")
        module = root
        for name in place:
            if name not in module._modules:
                module._modules[name] = _class("Part")()
            module = module._modules[name]
        module.register_parameter(attribute, nn.Parameter(value.clone()))
    root.hook = _class("WeightNorm", object)()
    sys.modules["glow"] = _OTHERS
    try:
        torch.save({"model": root, "iteration": 3, "learning_rate": 1e-4}, path, **options)
    finally:
        del sys.modules["glow"]


def in_old_layers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the code before convert_model.py had them."""
    old: dict[str, Tensor] = {}
    for key, value in fold_weight_norm(state).items():
        place, _, attribute = key.rpartition(".")
        if "cond_layer" in key:
            layers = len({k for k in state if k.startswith(place.split("cond")[0] + "in_layers")})
            count = layers // 3
            for i, part in enumerate(value.chunk(count)):
                old[f"{place.replace('cond_layer', 'cond_layers')}.{i}.{attribute}"] = part
        elif "res_skip_layers" in key:
            width = state[key.split("res_skip")[0] + "start.bias"].shape[0]
            if len(value) == 2 * width:
                old[key.replace("res_skip_layers", "res_layers")] = value[:width]
            old[key.replace("res_skip_layers", "skip_layers")] = value[-width:]
        else:
            old[key] = value
    return old


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["module", "old module", "parallel", "state_dict"])
def test_every_kind_of_official_file_is_read(
    fixture_folder: FixtureFolder, tmp_path: Path, kind: str, legacy: bool
) -> None:
    run = fixture_folder("waveglow-small")
    path, state = tmp_path / "waveglow.pt", run.state_dict
    options = {"_use_new_zipfile_serialization": not legacy}
    if kind == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
        torch.save({"state_dict": state, "config": {"anything": [1, 2]}}, path, **options)
    elif kind == "state_dict":
        torch.save(state, path, **options)
    else:
        old = in_old_layers(state) if kind == "old module" else state
        as_authors_pickle(old, path, **options)
    read = import_checkpoint(path, mel=official(run).mel_spec).model
    assert isinstance(read, WaveGlow)
    expected = official(run)
    assert read.config == expected.config
    ours = read.inference_state()
    for key, value in expected.inference_state().items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-6, msg=key)


class Burglar:
    """Whose pickle would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "was here")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_runs_nothing(tmp_path: Path, legacy: bool) -> None:
    loot, path = tmp_path / "loot", tmp_path / "model.pt"
    weights = {"state_dict": {"a": torch.ones(2)}, "extra": Burglar(loot)}
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    assert list(read_pickled_checkpoint(path).states["state_dict"]) == ["a"]
    assert not loot.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)
    assert loot.exists(), "which a plain load does run"


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(WavewrightError, match=r"model\.pt: no such file"):
        read_pickled_checkpoint(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(WavewrightError, match=r"model\.pt: is no checkpoint that torch.save wrote"):
        read_pickled_checkpoint(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WavewrightError, match=r"model\.pt: is no checkpoint|holds no state dict"):
        read_pickled_checkpoint(path)
