"""Labels of a waveform in both conventions of the field, and 16 bits in two halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wavewright.nn.quantization import (
    Rounding,
    join16,
    label_value,
    mu_law_decode,
    mu_law_encode,
    silence,
    split16,
)

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def run(shared: Path) -> Arrays:
    with np.load(shared / "fixtures" / "quantisation" / "io.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(
    ("rounding", "classes", "name"),
    [
        ("truncate", 256, "r9y9_mulaw_quantize_mu255"),
        ("round", 256, "fatchord_encode_mu_law_256"),
        ("round", 512, "fatchord_encode_mu_law_512"),
    ],
)
def test_every_label_is_the_official_one(
    run: Arrays, rounding: Rounding, classes: int, name: str
) -> None:
    labels = mu_law_encode(torch.from_numpy(run["in_x"]), classes, rounding)
    np.testing.assert_array_equal(labels.numpy(), run[name])


@pytest.mark.parametrize("name", ["r9y9_inv_mulaw_quantize", "fatchord_decode_256_labels"])
def test_labels_mean_the_official_values(run: Arrays, name: str) -> None:
    wav = mu_law_decode(torch.arange(256), 256)
    np.testing.assert_allclose(wav.numpy(), run[name], rtol=0, atol=1e-6)


def test_the_conventions_disagree_on_half_of_all_inputs(run: Arrays) -> None:
    x = torch.from_numpy(run["in_x"])
    truncated, rounded = (mu_law_encode(x, 256, way) for way in ("truncate", "round"))
    share = float((truncated != rounded).double().mean())
    assert share == pytest.approx(0.5, abs=0.01)
    assert (silence(256, "truncate"), silence(256, "round")) == (127, 128)


def test_sixteen_bits_are_split_and_joined(run: Arrays) -> None:
    samples = torch.from_numpy(run["fatchord_encode_16bits"])
    coarse, fine = split16(samples)
    np.testing.assert_array_equal(coarse.numpy(), run["split_coarse"])
    np.testing.assert_array_equal(fine.numpy(), run["split_fine"])
    np.testing.assert_array_equal(join16(coarse, fine).numpy(), run["combine"])


@pytest.mark.parametrize("bits", [9, 16])
def test_labels_spread_evenly(run: Arrays, bits: int) -> None:
    labels = torch.from_numpy(run[f"fatchord_float_2_label_{bits}"])
    given = torch.from_numpy(run["in_x"])
    torch.testing.assert_close(label_value(labels, 2**bits), given, rtol=0, atol=1e-9)
