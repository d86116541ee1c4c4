"""WaveRNN reproduces both networks of fatchord's repository, and their samples from their noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import tiny
from tests.support.official import FixtureFolder, OfficialRun
from wavewright.interop.importing.official_names import rename_wavernn
from wavewright.kernels.folding import Folding
from wavewright.kernels.loop import Engine, LoopWindow
from wavewright.mel.spec import MelSpec, RangeNormalisation
from wavewright.nn.dual_softmax import DualSoftmax
from wavewright.nn.likelihood import categorical_nll
from wavewright.nn.two_grus import TwoGRUs
from wavewright.registry import create_vocoder
from wavewright.vocoders.wavernn import WaveRNN

FATCHORD = ["wavernn-fatchord-mol-small", "wavernn-fatchord-raw-small"]
DUAL = "wavernn-dualsoftmax-small"
FADED = 20  # frames that the official loop fades out


def fatchord(run: OfficialRun) -> WaveRNN:
    config = run.config
    hop = config["hop_length"]
    assert hop == math.prod(config["upsample_factors"])
    spec = MelSpec(
        sample_rate=config["sample_rate"],
        n_fft=4 * hop,
        hop_length=hop,
        win_length=4 * hop,
        n_mels=config["feat_dims"],
        fmax=8000.0,
        # whose silence is 0, as what the official loop pads with
        normalisation=RangeNormalisation(scale=1.0, shift=-math.log(1e-5), low=0.0, high=20.0),
    )
    return loaded(
        run,
        mel=spec,
        units=config["rnn_dims"],
        head_channels=config["fc_dims"],
        distribution="logistics" if config["mode"] == "MOL" else "categorical",
        bits=config["bits"],
        reader_channels=config["compute_dims"],
        reader_blocks=config["res_blocks"],
        reader_out=config["res_out_dims"],
        upsample_rates=tuple(config["upsample_factors"]),
        context_frames=config["pad"],
    )


def loaded(run: OfficialRun, name: str = "wavernn", **config: Any) -> WaveRNN:
    vocoder = create_vocoder(name, **config)
    assert isinstance(vocoder, WaveRNN)
    vocoder.load_inference_state(rename_wavernn(run.state_dict))
    assert vocoder.parameter_count() == run.meta["n_params"]
    return vocoder.eval()


def close(found: Tensor, run: OfficialRun, name: str) -> None:
    expected = torch.from_numpy(run.outputs[name])
    torch.testing.assert_close(found, expected, rtol=0, atol=run.tolerance[name])


def given(run: OfficialRun, name: str) -> Tensor:
    return torch.from_numpy(run.inputs[name])


@pytest.mark.parametrize("folder", FATCHORD)
def test_fatchords_network_says_the_same(fixture_folder: FixtureFolder, folder: str) -> None:
    run = fixture_folder(folder)
    vocoder = fatchord(run)
    network = vocoder.network
    assert isinstance(network, TwoGRUs)
    with torch.no_grad():
        smooth, read = network.condition(given(run, "mel"))
        logits = network(given(run, "x"), given(run, "mel"))
    close(smooth, run, "mels_up")
    close(read, run, "aux")
    close(logits.mT, run, "logits")
    if vocoder.config.distribution == "categorical":
        nats = categorical_nll(logits, given(run, "y_label"))
    else:
        from wavewright.nn.likelihood import logistics_nll

        nats = logistics_nll(logits, given(run, "y"), vocoder.config.log_scale_min)
    close(nats.mean()[None], run, "loss")


@pytest.mark.parametrize("folder", FATCHORD)
@pytest.mark.parametrize("engine", [Engine("reference"), Engine(threads=1), Engine(threads=2)])
def test_recorded_noise_gives_fatchords_samples(
    fixture_folder: FixtureFolder, folder: str, engine: Engine
) -> None:
    """The official loop fades its end out and stops a frame earlier; ours does neither."""
    run = fixture_folder(folder)
    vocoder = fatchord(run)
    vocoder.engine = engine
    if "gen_u_gumbel" in run.inputs:
        numbers = run.inputs["gen_u_gumbel"]
    else:
        last = run.inputs["gen_u_log"][..., None]
        numbers = np.concatenate([run.inputs["gen_u_mix"], last], axis=-1)
    mel = vocoder.pad_mel(given(run, "gen_mel"), 2, 2)
    with torch.no_grad():
        loop = vocoder.start_loop(1)
        wav = loop(LoopWindow(mel, 0, 24), torch.from_numpy(numbers).transpose(0, 1))[0]
    expected = run.outputs["gen_audio"]
    found = wav.double().numpy()[: len(expected)]
    faded = FADED * vocoder.hop_length
    found[-faded:] *= np.linspace(1, 0, faded)
    np.testing.assert_allclose(found, expected, rtol=0, atol=run.tolerance["gen_audio"])


@pytest.mark.parametrize("folder", FATCHORD)
def test_folds_are_cut_and_joined_as_fatchord_does(
    fixture_folder: FixtureFolder, folder: str
) -> None:
    run = fixture_folder(folder)
    target, overlap = (int(value) for value in run.inputs["batched_target_overlap"])
    folding = Folding(target, overlap)
    ramp = torch.arange(24 * 12, dtype=torch.float32)[:, None] * 3
    joined = folding.unfold(given(run, "xfade_in"))
    np.testing.assert_allclose(joined.numpy(), run.outputs["xfade_out"], rtol=0, atol=1e-6)
    cut = folding.fold(ramp)[..., 0].numpy()
    np.testing.assert_array_equal(cut, run.outputs["fold_ramp_first_col"])


@pytest.mark.parametrize("folder", FATCHORD)
def test_recorded_noise_gives_fatchords_folds(fixture_folder: FixtureFolder, folder: str) -> None:
    run = fixture_folder(folder)
    vocoder = fatchord(run)
    network = vocoder.network
    assert isinstance(network, TwoGRUs)
    folding = Folding(*(int(value) for value in run.inputs["batched_target_overlap"]))
    if "genb_u_gumbel" in run.inputs:
        numbers = run.inputs["genb_u_gumbel"]
    else:
        last = run.inputs["genb_u_log"][..., None]
        numbers = np.concatenate([run.inputs["genb_u_mix"], last], axis=-1)
    with torch.no_grad():
        heard = network.condition(vocoder.pad_mel(given(run, "gen_mel"), 2, 2))
        smooth, read = (folding.fold(values[0]) for values in heard)
        wav = vocoder.generate_folds(
            smooth, read, torch.from_numpy(numbers).transpose(0, 1), folding
        ).numpy()
    expected = run.outputs["gen_audio_batched"]
    found, faded = wav[: len(expected)], FADED * vocoder.hop_length
    found[-faded:] *= np.linspace(1, 0, faded)
    tolerance = run.tolerance["gen_audio_batched"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_a_folded_utterance_is_as_long_as_the_whole() -> None:
    torch.manual_seed(0)
    vocoder = create_vocoder("wavernn", **tiny.SMALL["wavernn"]).eval()
    assert isinstance(vocoder, WaveRNN)
    mel = torch.randn(1, 8, 30)
    wav = vocoder.generate_folded(mel, Folding(100, 20), seed=0)
    assert wav.shape == (1, 30 * vocoder.hop_length)
    assert float(wav.abs().max()) <= 1


@pytest.fixture
def dual(fixture_folder: FixtureFolder) -> tuple[WaveRNN, OfficialRun]:
    run = fixture_folder(DUAL)
    return loaded(run, "wavernn:dual-softmax", units=run.config["hidden_size"]), run


def test_the_papers_cell_says_the_same(dual: tuple[WaveRNN, OfficialRun]) -> None:
    vocoder, run = dual
    network = vocoder.network
    assert isinstance(network, DualSoftmax)
    coarse, fine = given(run, "coarse"), given(run, "fine")
    with torch.no_grad():
        states = network.states(coarse, fine, None)
        first, second = network.heads(states)
    close(states, run, "hidden")
    close(first.mT, run, "logits_coarse")
    close(second.mT, run, "logits_fine")
    nats = categorical_nll(first, coarse[:, 1:]) + categorical_nll(second, fine[:, 1:])
    close(nats.mean()[None], run, "loss")


@pytest.mark.parametrize("engine", [Engine("reference"), Engine(threads=1)])
def test_recorded_noise_gives_the_papers_samples(
    dual: tuple[WaveRNN, OfficialRun], engine: Engine
) -> None:
    """Started from -32768, as the recorded run was; ours starts from silence."""
    vocoder, run = dual
    vocoder.engine = engine
    loop: Any = vocoder.start_loop(1)
    if engine.name == "fast":
        loop.last_bytes[:] = 0
    else:
        loop.sampler.coarse, loop.sampler.fine = torch.zeros(2, 1, dtype=torch.long)
    halves = [given(run, f"gen_u_gumbel_{half}") for half in ("coarse", "fine")]
    numbers = torch.cat(halves, dim=-1).transpose(0, 1)
    with torch.no_grad():
        wav = loop(LoopWindow(None, 0, 1), numbers)[0]
    np.testing.assert_array_equal((wav * 2**15).long().numpy(), run.outputs["gen_signal"])
