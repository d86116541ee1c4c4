"""WaveNet reproduces wavenet_vocoder: its logits, its losses, and its samples from its noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.official import FixtureFolder, OfficialRun
from wavewright.interop.importing.official_names import rename_wavenet
from wavewright.kernels.loop import Engine, LoopWindow
from wavewright.mel.spec import MelSpec
from wavewright.nn.quantization import mu_law_decode
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder
from wavewright.vocoders.wavenet import WaveNet

SMALL = ["wavenet-r9y9-mol-small", "wavenet-r9y9-mulaw-small", "wavenet-r9y9-gaussian-small"]
OFFICIAL = "wavenet-r9y9-mol-official-seeded"


def built(run: OfficialRun) -> WaveNet:
    config = run.config
    rates = tuple(config["upsample_params"]["upsample_scales"])
    hop = math.prod(rates)
    spec = MelSpec(
        sample_rate=22050,
        n_fft=4 * hop,
        hop_length=hop,
        win_length=4 * hop,
        n_mels=config["cin_channels"],
        fmax=8000.0,
    )
    likelihood = {"Logistic": "logistics", "Normal": "gaussian"}[config["output_distribution"]]
    vocoder = create_vocoder(
        "wavenet",
        mel=spec,
        layers=config["layers"],
        cycles=config["stacks"],
        kernel_size=config["kernel_size"],
        residual_channels=config["residual_channels"],
        gate_channels=config["gate_channels"],
        skip_channels=config["skip_out_channels"],
        upsample_rates=rates,
        distribution=likelihood if config["scalar_input"] else "categorical",
        log_scale_min=math.log(1e-14),  # of the recorded runs
    )
    assert isinstance(vocoder, WaveNet)
    state = rename_wavenet(run.state_dict)
    assert len(state) == len(fold_weight_norm(run.state_dict)), "nothing is left out"
    vocoder.load_inference_state(state)
    assert vocoder.parameter_count() == run.meta["n_params"]
    return vocoder.eval()


def heard(vocoder: WaveNet, run: OfficialRun) -> Tensor:
    if "x_label" in run.inputs:
        return vocoder.input_channels(torch.from_numpy(run.inputs["x_label"]))
    return torch.from_numpy(run.inputs["x"])


@pytest.mark.parametrize("folder", [*SMALL, OFFICIAL])
def test_logits_and_loss_are_the_official_ones(fixture_folder: FixtureFolder, folder: str) -> None:
    run = fixture_folder(folder)
    vocoder = built(run)
    with torch.no_grad():
        condition = vocoder.upsampler(torch.from_numpy(run.inputs["c"]))
        logits = vocoder(heard(vocoder, run), condition)
    if "c_upsampled" in run.outputs:
        close(condition, run, "c_upsampled")
    close(logits[..., ::16] if folder == OFFICIAL else logits, run, "logits")
    said = torch.from_numpy(run.inputs["y"])[..., 0] if "y" in run.inputs else None
    truth = torch.from_numpy(run.inputs["y_label"]) if said is None else said
    close(vocoder.nll(logits, truth).mean()[None], run, "loss")


def close(found: Tensor, run: OfficialRun, name: str) -> None:
    expected = torch.from_numpy(run.outputs[name])
    torch.testing.assert_close(found, expected, rtol=0, atol=run.tolerance[name])


def recorded(run: OfficialRun) -> Tensor:
    """(items, samples, numbers), as the official loop drew them."""
    if "gen_u_gumbel" in run.inputs:
        numbers = run.inputs["gen_u_gumbel"]
    else:
        last = run.inputs["gen_u_log"][..., None]
        numbers = np.concatenate([run.inputs["gen_u_mix"], last], axis=-1)
    return torch.from_numpy(numbers).transpose(0, 1)


ENGINES = [Engine("reference"), Engine(threads=1), Engine(threads=2)]


@pytest.mark.parametrize("folder", SMALL[:2])
@pytest.mark.parametrize("engine", ENGINES, ids=["reference", "fast", "two threads"])
def test_recorded_noise_gives_the_official_samples(
    fixture_folder: FixtureFolder, folder: str, engine: Engine
) -> None:
    run = fixture_folder(folder)
    vocoder, numbers = built(run), recorded(run)
    vocoder.engine = engine
    mel = torch.from_numpy(run.inputs["c"])
    frames = mel.shape[-1] - 2 * vocoder.own_context
    with torch.no_grad():
        wav = vocoder.start_loop(len(mel))(LoopWindow(mel, 0, frames), numbers)
    if "gen_label" in run.outputs:
        expected = mu_law_decode(torch.from_numpy(run.outputs["gen_label"]), 256)
        assert torch.equal(wav, expected)
    else:
        expected = torch.from_numpy(run.outputs["gen_wav"])[:, 0]
        torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["gen_wav"])


@pytest.mark.parametrize("folder", SMALL)
def test_sample_by_sample_equals_all_at_once(fixture_folder: FixtureFolder, folder: str) -> None:
    """What a loop said, heard again all at once, has the logits that it was drawn from."""
    run = fixture_folder(folder)
    vocoder = built(run)
    mel = torch.from_numpy(run.inputs["c"])
    loop: Any = vocoder.reference_loop(len(mel))
    with torch.no_grad():
        condition = vocoder.upsampler(mel)
        all_at_once = vocoder(heard(vocoder, run), condition)
        given = run.inputs.get("x_label", run.inputs.get("x"))
        assert given is not None
        one_by_one = []
        for t in range(condition.shape[-1]):
            loop.last_output = torch.from_numpy(given[..., t]).reshape(len(mel))
            one_by_one.append(loop.step(condition[..., t : t + 1]))
    found = torch.stack(one_by_one, dim=-1)
    torch.testing.assert_close(found, all_at_once, rtol=0, atol=run.tolerance["logits"])


@pytest.mark.parametrize(
    ("name", "samples"),
    [("mol", 505), ("mulaw", 6139), ("tacotron2-mulaw", 253), ("tacotron2-mol", 6139)],
)
def test_receptive_fields_are_the_published_ones(name: str, samples: int) -> None:
    vocoder = create_vocoder(f"wavenet:{name}")
    assert isinstance(vocoder, WaveNet)
    assert vocoder.config.receptive_field == samples


def test_no_sample_hears_beyond_the_receptive_field() -> None:
    vocoder = create_vocoder(
        "wavenet:unconditional", layers=6, cycles=2, residual_channels=8, gate_channels=16
    )
    assert isinstance(vocoder, WaveNet)
    field = vocoder.config.receptive_field
    labels = torch.randint(256, (1, 3 * field), generator=torch.Generator().manual_seed(0))
    other = labels.clone()
    other[0, field] = (other[0, field] + 100) % 256
    with torch.no_grad():
        differ = (
            vocoder(vocoder.input_channels(labels)) != vocoder(vocoder.input_channels(other))
        ).any(dim=1)[0]
    where = differ.nonzero()[:, 0]
    assert where.min() == field, "nothing before it hears it"
    assert where.max() == 2 * field - 1, "and as many samples as the field is long"
