"""Every official configuration has the parameters that its authors' code has."""

from __future__ import annotations

import pytest
import torch

from wavewright.models.latent import LatentVocoder
from wavewright.registry import create_vocoder, find, list_vocoders

SIZES = {
    "bigvgan": 13_943_361,
    "bigvgan:base": 13_943_361,
    "bigvgan:base-24k": 14_015_041,
    "hifigan": 13_926_017,
    "hifigan:v1": 13_926_017,
    "hifigan:v2": 925_985,
    "hifigan:v3": 1_462_273,
    "melgan": 4_260_257,
    "melgan:descript": 4_260_257,
    "melgan:seungwonpark": 4_260_257,
    "multiband_melgan": 2_534_356,
    "multiband_melgan:v2": 2_534_356,
    "multiband_melgan:v2-24k": 2_138_068,
    "parallel_wavegan": 1_334_309,
    "parallel_wavegan:v1": 1_334_309,
    "vocos": 13_531_650,
    "vocos:mel-24k": 13_531_650,
    "specgan": 19_065_345,
    "wavegan": 19_065_345,
    "wavegan:16384": 19_065_345,
    "wavegan:32768": 73_149_953,
    "wavegan:65536": 73_149_953,
    "waveglow": 87_731_816,
    "waveglow:256": 87_731_816,
    "waveglow:512": 267_999_848,
    "wavenet": 3_702_210,
    "wavenet:gaussian": 3_698_598,
    "wavenet:mol": 3_702_210,
    "wavenet:mulaw": 4_676_388,
    "wavenet:tacotron2-mol": 30_864_962,
    "wavenet:tacotron2-mulaw": 848_996,
    "wavenet:unconditional": 1_267_392,
    "wavernn": 4_233_675,
    "wavernn:dual-softmax": 3_050_048,
    "wavernn:mol": 4_233_675,
    "wavernn:raw9": 4_480_941,
}
OURS = {
    *("griffinlim", "griffinlim:mel", "griffinlim:magnitude", "griffinlim:streaming"),
    *("nhv", "nhv:consistent", "nhv:published"),  # with our F0 predictor
    *("hifigan:small", "wavernn:sparse"),
}


@pytest.mark.parametrize(("name", "count"), SIZES.items())
def test_it_has_the_published_size(name: str, count: int) -> None:
    with torch.device("meta"):  # shapes without values
        assert create_vocoder(name).parameter_count() == count


def test_no_configuration_is_forgotten() -> None:
    known = set(SIZES) | OURS
    for name in list_vocoders():
        assert name in known
        assert {f"{name}:{variant}" for variant in find("vocoders", name).variants} <= known


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("wavegan", 17_427_969),
        ("wavegan:32768", 69_875_201),
        ("wavegan:65536", 69_875_201),
        ("specgan", 17_427_969),
    ],
)
def test_its_critic_has_the_published_size(name: str, count: int) -> None:
    with torch.device("meta"):
        vocoder = create_vocoder(name)
        assert isinstance(vocoder, LatentVocoder)
        judge = vocoder.build_discriminators()["critic"]
    assert sum(value.numel() for value in judge.parameters()) == count
