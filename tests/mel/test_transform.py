"""The mel code: a tone is where it is, louder is higher, silence is silence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import MelSpec, mel_filterbank
from wavewright.mel.transform import (
    amplitude_from_log_mel,
    convert_mel,
    log_mel,
    magnitude,
    silent_mel,
)

SAMPLE = [
    "hifigan",
    "tacotron2",
    "melgan",
    "vocos-24k",
    "wavernn",
    "espnet",
    "nemo-fastpitch-44k",
    "coqui",
]


def tone(spec: MelSpec, frequency: float, level: float = 0.3, seconds: float = 0.5) -> Tensor:
    time = torch.arange(int(seconds * spec.sample_rate), dtype=torch.float64) / spec.sample_rate
    return (level * torch.sin(2 * math.pi * frequency * time)).float()


def noise(samples: int, *shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("frequency", [220.0, 1000.0, 5000.0])
def test_a_tone_peaks_in_its_band(name: str, frequency: float) -> None:
    """The strongest band is the one whose filter passes the tone best."""
    spec = MelSpec.preset(name).bands_first
    basis = mel_filterbank(spec)
    nearest_bin = round(frequency * spec.n_fft / spec.sample_rate)
    # At low frequencies filters are narrower than the window's main lobe: neighbours may win.
    expected = int(np.argmax(basis[:, nearest_bin]))
    mel = log_mel(tone(spec, frequency), spec)
    middle = amplitude_from_log_mel(mel, spec)[:, mel.shape[1] // 2]
    assert abs(int(middle.argmax()) - expected) <= 1
    assert float(middle[expected]) > 30 * float(middle.median())


def test_half_the_gain_is_one_ln_2_lower() -> None:
    spec = MelSpec.preset("tacotron2")
    wav = noise(8192)
    loud, soft = log_mel(wav, spec), log_mel(0.5 * wav, spec)
    assert float((loud - soft - math.log(2)).abs().max()) < 1e-4


def test_half_the_gain_is_six_decibels_or_log10_2_lower() -> None:
    wav = noise(8192)
    for name, step in [("melgan", math.log10(2)), ("speecht5", math.log10(2))]:
        spec = MelSpec.preset(name).bands_first
        assert float((log_mel(wav, spec) - log_mel(0.5 * wav, spec) - step).abs().max()) < 1e-4
    spec = MelSpec.preset("wavernn").model_copy(update={"normalisation": None})
    step = 20 * math.log10(2)
    assert float((log_mel(wav, spec) - log_mel(0.5 * wav, spec) - step).abs().max()) < 1e-3


def test_range_normalisation_clips_at_both_ends() -> None:
    spec = MelSpec.preset("wavernn")
    assert float(log_mel(torch.zeros(8192), spec).max()) == pytest.approx(0.0, abs=1e-6)
    assert 0.5 < float(log_mel(0.01 * tone(spec, 1000), spec).max()) < 1.0
    assert float(log_mel(1000 * tone(spec, 1000), spec).max()) == 1.0


def test_power_two_squares_the_magnitude() -> None:
    spec = MelSpec.preset("tacotron2")
    squared = spec.model_copy(update={"power": 2})
    wav = noise(4096)
    torch.testing.assert_close(magnitude(wav, squared), magnitude(wav, spec) ** 2)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_batch_equals_its_items(name: str) -> None:
    spec = MelSpec.preset(name).bands_first
    batch = noise(3 * spec.n_fft, 2, 3)
    together = log_mel(batch, spec)
    assert together.shape == (2, 3, spec.n_mels, spec.frames(3 * spec.n_fft))
    apart = torch.stack([torch.stack([log_mel(wav, spec) for wav in row]) for row in batch])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_a_frame_owns_its_block_of_samples() -> None:
    """A click in the middle of block i is strongest in frame i of a `hop` mel; in a `center` mel,
    whose window sits on the block's first sample, frames i and i + 1 see it alike."""
    click = torch.zeros(256 * 40)
    click[256 * 20 + 128] = 1.0
    hop = log_mel(click, MelSpec.preset("hifigan")).mean(0)
    assert int(hop.argmax()) == 20
    center = log_mel(click, MelSpec.preset("tacotron2")).mean(0)
    assert sorted(center.topk(2).indices.tolist()) == [20, 21]
    assert float(center[20]) == pytest.approx(float(center[21]), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "samples"), [("hifigan", 384), ("tacotron2", 512), ("wavernn", 274)]
)
def test_too_short_says_how_much_is_needed(name: str, samples: int) -> None:
    spec = MelSpec.preset(name).bands_first
    with pytest.raises(WavewrightError, match=f"{samples} samples is too short.*{samples + 1} are"):
        log_mel(torch.zeros(samples), spec)
    assert log_mel(torch.zeros(samples + 1), spec).shape[1] == spec.frames(samples + 1)


def test_sixteen_bit_integers_are_refused() -> None:
    with pytest.raises(WavewrightError, match=r"floating-point in \[-1, 1\], found torch.int16"):
        log_mel(torch.zeros(4096, dtype=torch.int16), MelSpec.preset("hifigan"))


def test_inference_first_does_not_poison_training() -> None:
    """Cached filterbanks and windows must be no inference tensors."""
    spec = MelSpec.preset("hifigan").model_copy(update={"n_mels": 41})  # in no cache yet
    with torch.inference_mode():
        log_mel(torch.zeros(4096), spec)
    wav = noise(4096).requires_grad_()
    log_mel(wav, spec).sum().backward()  # type: ignore[no-untyped-call]
    assert wav.grad is not None
    assert bool(wav.grad.any())


@pytest.mark.parametrize("name", ["hifigan-loss", "tacotron2", "nemo-hifigan-22k", "melgan"])
def test_the_gradient_is_finite_at_silence(name: str) -> None:
    wav = torch.zeros(1, 4096, requires_grad=True)
    log_mel(wav, MelSpec.preset(name).bands_first).sum().backward()  # type: ignore[no-untyped-call]
    assert wav.grad is not None
    assert bool(wav.grad.isfinite().all())


def test_the_gradient_is_the_slope() -> None:
    spec = MelSpec.preset("hifigan-loss").model_copy(update={"n_mels": 8})
    wav = noise(1024).double().requires_grad_()
    direction = noise(1024).double() * 1e-6
    (slope,) = torch.autograd.grad(log_mel(wav, spec).sum(), wav)
    with torch.no_grad():
        step = log_mel(wav + direction, spec).sum() - log_mel(wav - direction, spec).sum()
    assert float(step) == pytest.approx(2 * float(slope @ direction), rel=1e-5)


def test_natural_and_decimal_logarithms_convert_both_ways() -> None:
    decimal = MelSpec.preset("melgan")
    natural = decimal.model_copy(update={"log": "ln"})
    wav = noise(8192)
    there = convert_mel(log_mel(wav, natural), natural, decimal)
    assert float((there - log_mel(wav, decimal)).abs().max()) < 1e-5
    back = convert_mel(there, decimal, natural)
    assert float((back - log_mel(wav, natural)).abs().max()) < 1e-5


def test_the_range_normalisation_converts_both_ways() -> None:
    ranged = MelSpec.preset("coqui")
    natural = ranged.model_copy(update={"normalisation": None, "log": "ln"})
    wav = noise(8192)
    there = convert_mel(log_mel(wav, natural), natural, ranged)
    assert float((there - log_mel(wav, ranged)).abs().max()) < 1e-5
    back = convert_mel(there, ranged, natural)
    assert float((back - log_mel(wav, natural)).abs().max()) < 1e-4


def test_silence_converts_to_silence() -> None:
    source = MelSpec.preset("wavernn")
    target = source.model_copy(update={"log": "ln", "normalisation": None})
    mel = torch.from_numpy(silent_mel(source, 3))
    expected = torch.from_numpy(silent_mel(target, 3))
    torch.testing.assert_close(convert_mel(mel, source, target), expected)


def test_converting_to_the_same_changes_nothing() -> None:
    spec = MelSpec.preset("hifigan")
    mel = log_mel(noise(4096), spec)
    assert convert_mel(mel, spec, MelSpec.preset("bigvgan-22k")) is mel


def test_what_is_not_exact_is_refused_by_name() -> None:
    source, target = MelSpec.preset("hifigan"), MelSpec.preset("parallel-wavegan")
    with pytest.raises(MelMismatch) as caught:
        convert_mel(torch.zeros(80, 4), source, target)
    named = ["fmin 0.0 vs 80.0", "fmax 8000.0 vs 7600.0", "floor", "magnitude_eps", "framing"]
    assert [words for words in named if words not in str(caught.value)] == []
    assert "log ln" not in str(caught.value), "the logarithm could have been converted"
    assert "ww.log_mel(wav, target)" in str(caught.value)


def test_the_order_of_the_axes_converts_both_ways() -> None:
    source = MelSpec.preset("parallel-wavegan")
    target = source.bands_first
    wav = noise(8192)
    there = convert_mel(log_mel(wav, source), source, target)
    assert there.shape == (80, 33)
    torch.testing.assert_close(there, log_mel(wav, target))
    torch.testing.assert_close(convert_mel(there, target, source), log_mel(wav, source))


def test_a_mel_with_its_axes_turned_is_refused() -> None:
    source = MelSpec.preset("parallel-wavegan")
    with pytest.raises(WavewrightError, match=r"80 bands.*\(frames, n_mels\).*\(80, 33\)"):
        convert_mel(torch.zeros(80, 33), source, source.bands_first)


def test_statistics_convert_both_ways_and_into_each_other() -> None:
    plain = MelSpec.preset("parallel-wavegan")
    generator = torch.Generator().manual_seed(4)
    normalised = [
        MelSpec.model_validate(
            {
                "preset": "parallel-wavegan",
                "normalisation": {
                    "mean": (-3 * torch.rand(80, generator=generator)).tolist(),
                    "scale": (0.3 + torch.rand(80, generator=generator)).tolist(),
                },
            }
        )
        for _ in range(2)
    ]
    wav = noise(8192)
    specs = [plain, *normalised]
    for source in specs:
        for target in specs:
            found = convert_mel(log_mel(wav, source), source, target)
            assert float((found - log_mel(wav, target)).abs().max()) < 1e-5


@pytest.mark.parametrize("guard", ["clamp", "add"])
def test_a_floor_can_be_raised(guard: str) -> None:
    source = MelSpec.preset("tacotron2").model_copy(update={"floor": 1e-6, "guard": guard})
    target = source.model_copy(update={"floor": 1e-4})
    wav = noise(8192) * torch.linspace(0, 0.02, 8192)
    found, expected = convert_mel(log_mel(wav, source), source, target), log_mel(wav, target)
    assert float((log_mel(wav, source) - expected).abs().max()) > 0.5
    assert float((found - expected).abs().max()) < 1e-5


def test_an_added_floor_becomes_a_clamped_one_and_not_the_reverse() -> None:
    added = MelSpec.preset("nemo-fastpitch-22k")
    clamped = added.model_copy(update={"guard": "clamp"})
    wav = noise(8192) * torch.linspace(0, 0.02, 8192)
    found = convert_mel(log_mel(wav, added), added, clamped)
    assert float((found - log_mel(wav, clamped)).abs().max()) < 1e-5
    with pytest.raises(MelMismatch, match=r"guard clamp vs add\. What lies under the sour"):
        convert_mel(found, clamped, added)


def test_a_floor_cannot_be_lowered() -> None:
    source = MelSpec.preset("tacotron2")
    with pytest.raises(MelMismatch, match=r"floor 1e-05 vs 1e-07"):
        convert_mel(torch.zeros(80, 3), source, source.model_copy(update={"floor": 1e-7}))


def test_what_a_range_has_clipped_is_refused_where_it_would_show() -> None:
    ranged = MelSpec.preset("wavernn")
    plain = ranged.model_copy(update={"normalisation": None})
    soft, loud = 0.001 * noise(8192), 30 * noise(8192)
    found = convert_mel(log_mel(soft, ranged), ranged, plain)
    assert float((found - log_mel(soft, plain)).abs().max()) < 1e-4  # in decibels
    with pytest.raises(MelMismatch, match=r"\d+ of its 2400 values were clipped"):
        convert_mel(log_mel(loud, ranged), ranged, plain)
    torch.testing.assert_close(
        convert_mel(log_mel(loud, plain), plain, ranged), log_mel(loud, ranged)
    )


def test_steps_before_the_mel_cannot_be_converted_away() -> None:
    source = MelSpec.preset("r9y9")
    with pytest.raises(MelMismatch, match="wav_steps"):
        convert_mel(torch.zeros(80, 3), source, MelSpec.preset("r9y9-plain"))
    without = source.model_copy(update={"target_steps": ()})
    mel = log_mel(noise(4096), source)
    assert torch.equal(convert_mel(mel, source, without), mel)


@pytest.mark.parametrize("name", SAMPLE)
def test_amplitude_undoes_the_logarithm(name: str) -> None:
    spec = MelSpec.preset(name).bands_first
    wav = tone(spec, 440.0, level=0.01)
    basis = torch.from_numpy(mel_filterbank(spec))
    expected = basis @ magnitude(wav, spec)
    found = amplitude_from_log_mel(log_mel(wav, spec), spec)
    lowest = amplitude_from_log_mel(torch.from_numpy(silent_mel(spec, 1)), spec)
    above = expected > 2 * lowest  # what a range normalisation cut off is lost
    assert float(above.float().mean()) > 0.01
    torch.testing.assert_close(found[above], expected[above], rtol=2e-3, atol=1e-6)
    assert float(found.min()) >= 0.0
