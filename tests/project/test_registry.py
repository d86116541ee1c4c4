"""Plugins by name: found without importing, unknown names explained, no name twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

import wavewright
import wavewright.nn
from tests.support import published_vocoders, tiny
from wavewright import registry
from wavewright.errors import UnknownName, WavewrightError
from wavewright.models.acoustic import AcousticModel
from wavewright.models.vocoder import Vocoder
from wavewright.vocoders.hifigan import HiFiGAN


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Entry points that other packages declare; filled by the test."""
    points: list[Any] = []
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [point for point in points if point.group == group],
    )
    registry.plugins.cache_clear()
    yield points
    registry.plugins.cache_clear()


def point(name: str, value: str, package: str, group: str = "wavewright.vocoders") -> Any:
    made = EntryPoint(name, value, group)
    return SimpleNamespace(
        name=made.name, value=made.value, group=made.group, dist=SimpleNamespace(name=package)
    )


def test_an_unknown_name_answers_with_the_nearest_all_and_how_to_add_one() -> None:
    with pytest.raises(UnknownName) as caught:
        registry.create_vocoder("hifi-gan")
    message = str(caught.value)
    assert "Did you mean 'hifigan'?" in message
    assert "griffinlim, hifigan" in message
    assert "entry-point group 'wavewright.vocoders'" in message
    assert isinstance(caught.value, LookupError)


def test_other_packages_are_listed_but_not_imported(installed: list[Any]) -> None:
    installed.append(point("hummer", "no_such_module:Hummer", "hummer-package"))
    assert registry.list_vocoders()[-1] == "hummer"
    assert registry.plugins("vocoders")["hummer"].distribution == "hummer-package"
    assert registry.module_of("vocoders", "hummer") == "no_such_module"
    with pytest.raises(WavewrightError, match="of package hummer-package cannot be loaded"):
        registry.find("vocoders", "hummer")


@pytest.mark.parametrize("name", ["hifigan", "hummer"])
def test_a_name_claimed_twice_is_an_error(installed: list[Any], name: str) -> None:
    installed += [point("hummer", "a:A", "first"), point(name, "b:B", "second")]
    with pytest.raises(WavewrightError, match=f"register the name '{name}'.*second.*Uninstall"):
        registry.plugins("vocoders")


def test_our_own_entry_points_are_no_duplicates(installed: list[Any]) -> None:
    target = registry.FIRST_PARTY["vocoders"]["hifigan"]
    installed += [point("hifigan", target, "wavewright"), point("again", "a:A", "wavewright")]
    assert "again" not in registry.plugins("vocoders")


def test_conditioning_filters_and_asks_others(installed: list[Any]) -> None:
    installed.append(point("own", "wavewright.vocoders.hifigan:HiFiGAN", "other"))
    assert "own" in registry.list_vocoders(conditioning="mel")
    assert registry.list_vocoders(conditioning="none") == ["wavenet", "wavernn"]
    assert registry.list_vocoders(conditioning="latent") == ["specgan", "wavegan"]


@pytest.mark.slow
def test_the_table_of_our_vocoders_is_what_their_classes_say() -> None:
    table = json.loads(registry._PUBLISHED.read_text("utf-8"))
    assert list(table) == list(registry.FIRST_PARTY["vocoders"])
    differing = {name for name, row in published_vocoders.table().items() if table[name] != row}
    assert not differing, "run: python -m tests.support.published_vocoders"


def test_describing_our_vocoders_imports_no_torch(source_environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from wavewright.registry import describe_vocoders\n"
        "infos = {info.name: info for info in describe_vocoders()}\n"
        "assert 'torch' not in sys.modules\n"
        "print(infos['hifigan'].title, infos['hifigan'].variants[0].parameters)\n"
    )
    environment = {**source_environment, "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "HiFi-GAN 13926017\n", done.stderr


def test_another_packages_vocoder_is_loaded_to_describe_it(installed: list[Any]) -> None:
    installed += [
        point("own", "wavewright.vocoders.vocos:Vocos", "other"),
        point("broken", "no_such_module:Hummer", "hummer-package"),
    ]
    own, broken = registry.describe_vocoders()[-2:]
    assert (own.distribution, own.title, own.problem) == ("other", "Vocos", "")
    assert [variant.name for variant in own.variants] == ["", "mel-24k"]
    assert broken.variants == ()
    assert "of package hummer-package cannot be loaded" in broken.problem


def test_every_public_name_can_be_imported() -> None:
    for module in (wavewright, wavewright.nn):
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        wavewright.nn.nothing  # noqa: B018


def test_create_takes_variant_and_configuration() -> None:
    vocoder = registry.create_vocoder("hifigan:v3", upsample_initial_channel=16)
    assert isinstance(vocoder, HiFiGAN)
    assert vocoder.name == "hifigan:v3"
    assert (vocoder.config.resblock, vocoder.config.upsample_initial_channel) == (2, 16)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"upsample_rate": (8,)},
            r"hifigan: unknown field 'upsample_rate'\. Did you mean 'upsampl",
        ),
        ({"upsample_rates": (8, 8)}, r"upsample_rates \(8, 8\) multiply to 64, but mel.hop_length"),
        ({"upsample_kernel_sizes": (16, 16)}, r"has 4 entries and upsample_kernel_sizes 2; such"),
        ({"upsample_kernel_sizes": (16, 16, 5, 4)}, "kernel 5 must exceed its rate 2 by an even"),
        ({"upsample_initial_channel": 24}, "upsample_initial_channel 24 must be a multiple of 16"),
        ({"resblock": 3}, "hifigan: resblock: Input should be 1 or 2, found 3"),
        ({"adversary": {"width_divisor": 3}}, r"adversary\.width_divisor: Input should be 1, 2, 4"),
        ({"resblock_kernel_sizes": (3,)}, "resblock_dilation_sizes differ in length"),
    ],
)
def test_a_wrong_configuration_is_explained(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WavewrightError, match=words):
        registry.create_vocoder("hifigan", **fields)


def test_an_unknown_variant_lists_the_known() -> None:
    with pytest.raises(
        UnknownName, match=r"no variant 'v33'\. Did you mean 'v3'\? Variants: v1, v2"
    ):
        registry.create_vocoder("hifigan:v33")
    with pytest.raises(UnknownName, match="Variants: none"):
        registry.create_vocoder("specgan:v1")


def test_models_of_both_kinds_are_made_by_name() -> None:
    assert isinstance(registry.create_model("vocoder", "hifigan", **tiny.HIFIGAN), Vocoder)
    assert isinstance(registry.create_model("acoustic", "tacotron2:small"), AcousticModel)
