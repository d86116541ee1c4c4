"""Parallel WaveGAN reproduces Hayashi's generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.official import FixtureFolder
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder
from wavewright.vocoders.parallel_wavegan import ParallelWaveGAN, rename_official


def _fields(official: dict[str, Any]) -> dict[str, Any]:
    """An official configuration's fields in our names."""
    names = {"stacks": "cycles", "aux_context_window": "context_frames"}
    same = ("layers", "residual_channels", "gate_channels", "skip_channels")
    return {
        **{name: official[name] for name in same},
        **{ours: official[theirs] for theirs, ours in names.items()},
        "upsample_rates": tuple(official["upsample_params"]["upsample_scales"]),
    }


@pytest.mark.parametrize("folder", ["pwg-parallelwavegan-small", "pwg-parallelwavegan-v1-seeded"])
def test_the_generator_gives_the_official_waveform(
    fixture_folder: FixtureFolder, folder: str
) -> None:
    run = fixture_folder(folder)
    fields = _fields(run.config)
    hop = int(torch.tensor(fields["upsample_rates"]).prod())
    spec = create_vocoder("parallel_wavegan").mel_spec.model_copy(update={"hop_length": hop})
    vocoder = create_vocoder("parallel_wavegan", mel=spec, **fields)
    assert isinstance(vocoder, ParallelWaveGAN)
    state = rename_official(run.state_dict)
    assert len(state) == len(fold_weight_norm(run.state_dict)), "nothing is left out"
    vocoder.load_inference_state(state)
    assert vocoder.parameter_count() == run.meta["n_params"]
    mel, noise = (torch.from_numpy(run.inputs[name]) for name in ("c", "noise"))
    with torch.no_grad():
        wav = vocoder(mel, noise.squeeze(1))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


def test_the_default_is_the_published_configuration(fixture_folder: FixtureFolder) -> None:
    vocoder = create_vocoder("parallel_wavegan")
    assert vocoder.parameter_count() == 1_334_309
    official = _fields(fixture_folder("pwg-parallelwavegan-v1-seeded").config)
    ours = vocoder.config.model_dump()
    assert {name: ours[name] for name in official} == official


def test_the_three_spellings_of_weight_norm_load_to_the_same(
    fixture_folder: FixtureFolder,
) -> None:
    old = fixture_folder("pwg-parallelwavegan-small").state_dict
    spelled = {
        "weight_g": "parametrizations.weight.original0",
        "weight_v": "parametrizations.weight.original1",
    }
    new = {}
    for key, value in old.items():
        stem, _, attribute = key.rpartition(".")
        new[f"{stem}.{spelled.get(attribute, attribute)}"] = value
    expected = rename_official(old)
    assert any(key.endswith(".original0") for key in new)
    for state in (new, fold_weight_norm(old)):
        found = rename_official(state)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)


def test_noise_belongs_to_its_item() -> None:
    torch.manual_seed(0)
    vocoder = create_vocoder("parallel_wavegan", layers=6, residual_channels=8, gate_channels=8)
    mel = torch.randn(1, 80, 5).repeat(2, 1, 1)
    pair = vocoder.generate(mel, seed=1)
    assert not torch.equal(pair[0], pair[1])
    torch.testing.assert_close(vocoder.generate(mel[:1], seed=1)[0], pair[0])
    assert not torch.equal(vocoder.generate(mel[:1], seed=2)[0], pair[0])
