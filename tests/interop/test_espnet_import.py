"""Vocoders within ESPnet's joint models, without ESPnet: ours under its names come back the same.

What its own classes save is tried in tests/clients/test_espnet_joint.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.official_discriminators import (
    as_joint,
    melgan_generator,
    old_names,
    parallel_wavegan_generator,
)
from tests.support.official_files import random_twin, spelled
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.errors import WavewrightError
from wavewright.interop.importing.convert import ImportedModel, import_checkpoint
from wavewright.mel.spec import MelSpec, StatisticsNormalisation
from wavewright.models.vocoder import Vocoder
from wavewright.vocoders.hifigan import HiFiGAN

FILE = "train.total_count.best.pth"
PWG: dict[str, Any] = {
    "mel": MelSpec.preset("espnet"), "layers": 4, "cycles": 2, "residual_channels": 8,
    "gate_channels": 16, "skip_channels": 12, "upsample_rates": (16, 16),
}  # fmt: skip
CONFIG = """\
tts: joint_text2wav
tts_conf:
  vocoder_type: parallel_wavegan_generator
  vocoder_params: {stacks: 2, upsample_params: {upsample_scales: [16, 16]}}
feats_extract: fbank
feats_extract_conf: {fs: 22050, n_fft: 1024, hop_length: 256, win_length: null, log_base: 10.0}
normalize: global_mvn
normalize_conf: {stats_file: exp/tts_stats/train/feats_stats.npz}
"""


def in_training(name: str, **changes: Any) -> Vocoder:
    vocoder = random_twin(name, **changes)
    vocoder.prepare_for_training()
    return vocoder.eval()


def espnets_parallel_wavegan(vocoder: Vocoder) -> dict[str, Tensor]:
    """Its two ways out of a layer are one convolution there."""
    state = old_names(dict(vocoder.state_dict()), parallel_wavegan_generator)
    for key in [key for key in state if "conv1x1_skip" in key]:
        out = key.replace("skip", "out")
        state[out] = torch.cat([state[out], state.pop(key)])
    return state


def written(folder: Path, state: dict[str, Tensor], config: str = CONFIG) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / FILE)
    if config:
        (folder / "config.yaml").write_text(config)
    return folder / FILE


def statistics() -> dict[str, Tensor]:
    return {
        "normalize.mean": torch.linspace(-3, -1, 80),
        "normalize.std": torch.linspace(0.5, 1, 80),
    }


def same(made: ImportedModel, expected: Vocoder) -> None:
    assert made.out is not None
    mel = torch.randn(1, 80, 6, generator=torch.Generator().manual_seed(1))
    found = load_vocoder(made.out).generate(mel, seed=0)
    torch.testing.assert_close(found, expected.generate(mel, seed=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spelling", ["old", "new", "plain"])
def test_parallel_wavegan_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    expected = in_training("parallel_wavegan", **PWG)
    state = espnets_parallel_wavegan(expected)
    state = state if spelling == "old" else spelled(state, spelling)
    path = written(tmp_path / "exp", {**as_joint(state, {}), **statistics()})
    made = import_checkpoint(path, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.configuration) == ("parallel-wavegan", "config.yaml")
    same(made, expected)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", {}),
        ("log_base: 10.0", "log_base: null", {"log": "ln"}),
        ("fs: 22050", "fs: 24k, fmin: null, fmax: null", {"sample_rate": 24000, "fmax": 12000.0}),
        ("log_base: 10.0", "htk: true", {"mel_scale": "htk"}),
        ("global_mvn", "null", {"normalisation": None}),
        ("stats_file", "norm_means: false, stats_file", {"mean": 0.0, "scale": 0.5}),
        ("stats_file", "norm_vars: false, stats_file", {"mean": -3.0, "scale": 1.0}),
    ],
)
def test_the_mel_is_that_of_the_configuration_and_of_the_file(
    tmp_path: Path, old: str, new: str, found: dict[str, Any]
) -> None:
    state = espnets_parallel_wavegan(in_training("parallel_wavegan", **PWG))
    config = CONFIG.replace(old, new) if old else CONFIG
    path = written(tmp_path, {**as_joint(state, {}), **statistics()}, config)
    mel = import_checkpoint(path).model.mel_spec
    plain = {"sample_rate": 22050, "n_fft": 1024, "win_length": 1024, "fmin": 80.0, "log": "log10"}
    if "null, fmax" in new:
        plain["fmin"] = 0.0
    if "normalisation" not in found:
        assert isinstance(mel.normalisation, StatisticsNormalisation)
        values = {"mean": mel.normalisation.mean[0], "scale": mel.normalisation.scale[0]}
        for name, usual in (("mean", -3.0), ("scale", 0.5)):
            assert values[name] == pytest.approx(found.pop(name, usual))
    for name, value in {**plain, **found}.items():
        assert getattr(mel, name) == value, name


def test_melgan_and_a_file_without_its_configuration(tmp_path: Path) -> None:
    changes = {"mel": MelSpec.preset("espnet"), "upsample_rates": (16, 16), "base_channels": 4}
    expected = in_training("melgan", **changes)
    generator = old_names(
        dict(expected.state_dict()), lambda path: melgan_generator(path, 3, "melgan", False)
    )
    path = written(tmp_path, {**as_joint(generator, {}), **statistics()}, "")
    with pytest.raises(WavewrightError, match=r"must be given by --mel PRESET .*espnet"):
        import_checkpoint(path)
    made = import_checkpoint(path, mel="espnet", out=tmp_path / "imported.safetensors")
    assert made.format.name == "pwg-melgan"
    assert isinstance(made.model.mel_spec.normalisation, StatisticsNormalisation)
    same(made, expected)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("feats_extract: fbank", "feats_extract: log_spectrogram", "feats_extract is 'log_spec"),
        ("log_base: 10.0", "center: false", "center is False"),
        ("log_base: 10.0", "log_base: 2.0", "log"),
        ("global_mvn", "utterance_mvn", "normalize is 'utterance_mvn'"),
        ("tts_conf:", "tts_conf:\n  use_pqmf: true", "use_pqmf is True"),
        ("[16, 16]}", "[16, 16], interpolate_mode: linear}", "interpolate_mode is 'linear'"),
    ],
)
def test_what_ours_are_not_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    state = espnets_parallel_wavegan(in_training("parallel_wavegan", **PWG))
    assert old in CONFIG
    path = written(tmp_path, as_joint(state, {}), CONFIG.replace(old, new))
    with pytest.raises(WavewrightError, match=words) as caught:
        import_checkpoint(path)
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_unexpected_keys_are_listed(tmp_path: Path) -> None:
    state = espnets_parallel_wavegan(in_training("parallel_wavegan", **PWG))
    last = state.pop("last_conv_layers.1.bias")
    state["global_conv.bias"] = last
    path = written(tmp_path, {**as_joint(state, {}), **statistics()})
    words = r"missing 1 \(conv_skip\.bias\); unexpected 1 \(global_conv\.bias\)"
    with pytest.raises(WavewrightError, match=words):
        import_checkpoint(path)
    del state["global_conv.bias"]
    state["last_conv_layers.1.bias"] = last
    named = {**as_joint(state, {}), "normalize.mean": torch.zeros(80)}
    with pytest.raises(WavewrightError, match=r"normalize\.std is missing"):
        import_checkpoint(written(tmp_path, named))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("decoder.input_conv.weight", "driven by 192 latent channels"),
        ("generator.input_conv.weight", "driven by 192 hidden features"),
        ("vocoder.noise_upsample.0.weight", "is a StyleMelGAN"),
    ],
)
def test_generators_that_no_mel_drives_are_refused(tmp_path: Path, key: str, words: str) -> None:
    state = {f"tts.generator.{key}": torch.ones(8, 192, 7), "tts.generator.x": torch.ones(1)}
    with pytest.raises(WavewrightError, match=words) as caught:
        import_checkpoint(written(tmp_path, state, ""), mel="espnet")
    assert str(caught.value).startswith(str(tmp_path / FILE))


def test_twice_an_odd_rate_gives_whole_frames_and_streams() -> None:
    """Hayashi's configurations at 24 kHz upsample by 5 and 3 with kernels of 10 and 6."""
    fields = {"upsample_rates": (5, 5, 4, 3), "upsample_kernel_sizes": (10, 10, 8, 6)}
    mel = MelSpec.preset("espnet-24k")
    vocoder = random_twin("hifigan", mel=mel, upsample_initial_channel=32, **fields)
    assert isinstance(vocoder, HiFiGAN)
    with torch.no_grad():
        for value in vocoder.parameters():
            value.mul_(3)
    given = torch.randn(1, 80, 40, generator=torch.Generator().manual_seed(1))
    whole = vocoder.generate(given)
    assert whole.shape == (1, 40 * 300)
    assert float(whole.std()) > 1e-3
    chunks = torch.split(given, 7, dim=2)
    streamed = torch.cat(list(vocoder.stream(chunks)), dim=-1)
    # Weights three times as large magnify rounding; a frame too early or late is off by the whole.
    error = float((streamed.reshape(1, -1) - whole).abs().max())
    assert error < 0.01 * float(whole.std())
