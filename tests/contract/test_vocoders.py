"""Every registered vocoder keeps the contract; registering one is being tested."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.support.tiny import SMALL, SPEC
from wavewright import testing
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder, find, list_vocoders

DRIVEN_BY_MELS = list_vocoders(conditioning="mel")
BY_THEMSELVES = [
    name for name, small in SMALL.items() if create_vocoder(name, **small).conditioning != "mel"
]


#: Changes that leave each operation of a deep network once, since exporters follow every one.
THIN: dict[str, dict[str, Any]] = {
    "bigvgan": {
        "upsample_rates": (16,),
        "upsample_kernel_sizes": (32,),
        "resblock_kernel_sizes": (3,),
        "resblock_dilation_sizes": ((1,),),
    },
    "parallel_wavegan": {"layers": 2, "cycles": 1},
    "vocos": {"layers": 1},
    "waveglow": {"layers": 1},
}


def small(name: str, **changes: Any) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **{**SMALL[name], **changes})


def check_training(vocoder: Vocoder) -> None:
    """Check training on crops of 64 frames."""
    testing.check_training(vocoder, segment_length=64 * SPEC.hop_length)


#: All checks of `check_vocoder`; tests/contract/test_kit.py shows that it leaves none out.
CHECKS_OF_MELS = [
    testing.check_output,
    testing.check_determinism,
    testing.check_batch,
    testing.check_refusals,
    testing.check_target_steps,
]
CHECKS = [
    testing.check_configuration,
    testing.check_saving,
    testing.check_receptive_field,
    testing.check_streaming,
    testing.check_chunked,
    pytest.param(testing.check_export, marks=pytest.mark.slow),
    check_training,
]


@pytest.mark.parametrize("name", DRIVEN_BY_MELS)
@pytest.mark.parametrize("check", [*CHECKS_OF_MELS, *CHECKS])
def test_it_keeps_the_contract_and_is_left_as_it_was(
    name: str, check: Callable[[Vocoder], None]
) -> None:
    check_and_compare(name, check)


@pytest.mark.parametrize("name", BY_THEMSELVES)
@pytest.mark.parametrize("check", [testing.check_sampling, *CHECKS])
def test_one_that_no_mel_drives_keeps_the_contract_and_is_left_as_it_was(
    name: str, check: Callable[[Vocoder], None]
) -> None:
    check_and_compare(name, check)


def check_and_compare(name: str, check: Callable[[Vocoder], None]) -> None:
    """Check a small vocoder and that its weights and modes are the same afterwards."""
    changes = THIN.get(name, {}) if check is testing.check_export else {}
    vocoder = small(name, **changes)
    before = copy.deepcopy(vocoder.state_dict())
    check(vocoder)
    assert vocoder.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in vocoder.state_dict().items())
    assert vocoder.training
    assert not vocoder.discriminators


#: Trained by the same step as HiFi-GAN; each takes 5 to 9 s to learn by heart.
LIKE_HIFIGAN = {"bigvgan", "melgan", "multiband_melgan", "parallel_wavegan"}
#: What makes a small one learn by reconstruction at step 0; steps; and how near it comes.
OVERFIT: dict[str, tuple[dict[str, Any], int, float]] = {
    "bigvgan": ({"adversary_start": 10}, 100, 0.5),
    "hifigan": ({"adversary_start": 10}, 150, 0.3),
    "melgan": ({"adversary_start": 10, "mel_weight": 45.0}, 300, 0.3),
    "multiband_melgan": ({"adversary_start": 10}, 150, 0.5),
    "nhv": ({"adversary_start": 10}, 150, 0.3),
    "parallel_wavegan": ({"adversary_start": 10}, 150, 0.5),
    "vocos": ({"adversary_start": 10}, 400, 0.3),
    "waveglow": ({}, 100, 13.0),
    "wavenet": ({"distribution": "categorical", "classes": 64}, 60, 3.0),
    "wavernn": ({"distribution": "categorical", "bits": 6}, 30, 4.0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name in LIKE_HIFIGAN else ())
        for name in DRIVEN_BY_MELS
        if hasattr(find("vocoders", name), "updates")
    ],
)
def test_it_learns_by_heart_and_is_quiet_in_silence(name: str) -> None:
    changes, steps, reaches = OVERFIT[name]
    torch.manual_seed(0)
    vocoder = create_vocoder(name, **{**SMALL[name], **changes})
    rate = {"vocos": 1e-3, "wavenet": 1e-2, "wavernn": 1e-2}.get(name, 2e-3)
    samples = 256 if name == "wavernn" else 4096  # which takes one after the other to learn from
    testing.check_overfit(
        vocoder, reaches=reaches, steps=steps, learning_rate=rate, samples=samples
    )


@pytest.mark.parametrize("name", list_vocoders())
def test_it_says_what_it_is(name: str) -> None:
    system = find("vocoders", name)
    assert issubclass(system, Vocoder)
    config = system.Config.model_fields
    driven = {system.conditioning}
    if "conditioning" in config:  # of which some variants make use
        driven |= {variant.get("conditioning", "mel") for variant in system.variants.values()}
    for conditioning in ("mel", "latent", "none"):
        listed = name in list_vocoders(conditioning=conditioning)
        assert listed == (conditioning in driven), "registry.py is wrong"
    assert system.__doc__


@pytest.mark.parametrize("name", list_vocoders())
def test_every_variant_has_a_sound_configuration(name: str) -> None:
    """Variants change only fields that there are; the default is complete."""
    system = find("vocoders", name)
    for variant in ("", *system.variants):
        config = system.Config.model_validate(dict(system.variants.get(variant, {})))
        assert config.mel.fingerprint
        assert system.Config.model_validate(config.model_dump(mode="json")) == config


def test_every_vocoder_has_a_small_configuration() -> None:
    assert {name.partition(":")[0] for name in SMALL} == set(list_vocoders()), (
        "add new systems to tests/support/tiny.py"
    )
