"""Fit of a mel convention: how well it explains a mel of a known recording.

Everything is measured in natural logarithms of the mel amplitude, whatever unit the mel is in: a
residual of 0.01 is one per cent of an amplitude.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from wavewright.audio.files import Wav, resample
from wavewright.audio.filters import WavFilter, apply_filters
from wavewright.errors import WavewrightError
from wavewright.mel.spec import (
    LOG_UNIT,
    MelSpec,
    RangeNormalisation,
    StatisticsNormalisation,
)
from wavewright.mel.transform import log_mel

Values = npt.NDArray[np.float64]
FitMethod = Literal["own", "gain", "affine", "per band"]
METHODS: tuple[FitMethod, ...] = ("own", "gain", "affine", "per band")
_COST = {"own": 1.0, "gain": 1.5, "affine": 2.0, "per band": 4.0}
_SHIFT_COST = 1.5
_MIN_CORRELATION = 0.5  # correlation below which no line through the bands can be a good one
_CACHED_MELS = 64  # mels of one recording: every preset, and some
_LINE_FRAMES = 300  # frames that lines are fitted to
_STILL = 1e-4  # a band that moves less does not move
ROUNDING = 1e-5  # what float32 leaves between two correct implementations, on average


@dataclass(frozen=True)
class Fit:
    """Fit of one convention to a mel."""

    spec: MelSpec
    method: FitMethod
    """Fitted parameters: none, a gain of the waveform, one line, or a line per band."""
    residual: float
    """Mean of min(|difference|, 1)."""
    correlation: float
    lag: int
    """Frame of the convention's mel that matches the first frame of the mel."""
    overlap: int
    gain: float = 1.0
    shift: int = 0
    """Samples by which the frames are late."""
    slope: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    @property
    def rank(self) -> float:
        """Penalized residual: less is better, and fewer fitted numbers are preferred."""
        cost = _COST[self.method] * (_SHIFT_COST if self.shift else 1.0)
        return cost * (self.residual + ROUNDING)


@dataclass
class Recording:
    """Waveform with its resampled versions and mels, cached."""

    wav: Wav
    rate: int
    _at: dict[tuple[int, tuple[WavFilter, ...]], Wav] = field(default_factory=dict)
    _mels: dict[tuple[MelSpec, int], Values] = field(default_factory=dict)

    def at(self, rate: int, steps: tuple[WavFilter, ...] = ()) -> Wav:
        """Waveform (samples,) at `rate` Hz, after `steps`."""
        if (rate, steps) not in self._at:
            wav = resample(self.wav, self.rate, rate)
            if steps:
                wav = apply_filters(torch.from_numpy(wav), steps, rate).numpy()
            self._at[rate, steps] = wav
        return self._at[rate, steps]

    def mel(self, spec: MelSpec, shift: int = 0) -> Values:
        """Cached `recording_mel` of this recording."""
        plain = value_spec(spec).model_copy(update={"normalisation": None})
        if (plain, shift) not in self._mels:
            if len(self._mels) >= _CACHED_MELS:
                self._mels.pop(next(iter(self._mels)))
            self._mels[plain, shift] = recording_mel(plain, self, shift=shift)
        return self._mels[plain, shift]

    def head(self, seconds: float) -> Recording:
        """First seconds of the recording."""
        return Recording(self.wav[: round(seconds * self.rate)], self.rate)


def value_spec(spec: MelSpec) -> MelSpec:
    """Copy of `spec` without the fields that do not change values."""
    return spec.model_copy(update={"layout": "bands_first", "target_steps": ()})


def recording_mel(spec: MelSpec, recording: Recording, gain: float = 1.0, shift: int = 0) -> Values:
    """Natural log-mel (n_mels, frames) of the recording in `spec`, not normalised.

    Raises:
        WavewrightError: the recording is too short for it.
    """
    plain = value_spec(spec).model_copy(update={"normalisation": None, "wav_steps": ()})
    # The steps are linear, so they may come before the gain, and are computed once.
    stepped = recording.at(spec.sample_rate, spec.wav_steps)
    wav = torch.from_numpy(stepped * np.float32(gain))
    if shift > 0:
        wav = wav[shift:]
    elif shift < 0:
        wav = torch.nn.functional.pad(wav, (-shift, 0))
    values: Values = log_mel(wav, plain).double().numpy() / LOG_UNIT[spec.log]
    return values


def value_scale(spec: MelSpec) -> tuple[Values, Values]:
    """Slope and offset, (n_mels, 1) each, from natural logarithms to the values of `spec`."""
    slope, offset = np.full((spec.n_mels, 1), LOG_UNIT[spec.log]), np.zeros((spec.n_mels, 1))
    normalization = spec.normalisation
    if isinstance(normalization, RangeNormalisation):
        return slope * normalization.scale, offset + normalization.shift
    if isinstance(normalization, StatisticsNormalisation):
        scale = np.array(normalization.scale)[:, None]
        return slope / scale, offset - np.array(normalization.mean)[:, None] / scale
    return slope, offset


def align(mel_values: Values, expected: Values) -> tuple[int, float]:
    """Lag in frames of a mel (n_mels, T) in the expected one (n_mels, U), and their correlation.

    Bands count by their variation about their own means. Half of the shorter must overlap.
    """
    length = mel_values.shape[1]
    total = expected.shape[1]
    size = 1 << (length + total).bit_length()
    deviation = mel_values.std(axis=1, keepdims=True)
    a = (mel_values - mel_values.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-9)
    spread = np.maximum(expected.std(axis=1, keepdims=True), 1e-9)
    b = (expected - expected.mean(axis=1, keepdims=True)) / spread
    spectrum = np.fft.rfft(a, size).conj()
    product = np.fft.irfft((spectrum * np.fft.rfft(b, size)).sum(axis=0), size)
    least = max(min(length, total) // 2, 1)
    lags = np.arange(least - length, total - least + 1)
    # Energy of b in the span of a, from cumulative sums.
    energy = np.concatenate([[0.0], np.cumsum((b**2).sum(axis=0))])
    power = np.concatenate([[0.0], np.cumsum((a**2).sum(axis=0))])
    first, last = np.clip(lags, 0, total), np.clip(lags + length, 0, total)
    under = energy[last] - energy[first]
    own = power[last - lags] - power[first - lags]
    score = product[lags] / np.sqrt(np.maximum(under * own, 1e-9))
    best = int(np.argmax(score))
    return int(lags[best]), float(score[best])


def explain(
    spec: MelSpec,
    mel_values: Values,
    recording: Recording,
    *,
    methods: tuple[FitMethod, ...] = METHODS,
    shift: int = 0,
) -> Fit | None:
    """Fit `spec` to a mel (n_mels, T) with the fewest parameters; None where it cannot be fitted.

    Args:
        spec: the convention; its layout is not used.
        mel_values: the mel, bands first.
        recording: the recording that the mel may be of.
        methods: the allowed fits.
        shift: samples of the waveform to skip before the first frame.
    """
    if mel_values.shape[0] != spec.n_mels:
        return None
    try:
        expected = recording.mel(spec, shift)
    except WavewrightError:
        return None
    lag, correlation = align(mel_values, expected)
    mine, theirs = _overlap(mel_values, expected, lag, spec)
    fields: dict[str, Any] = {
        "spec": spec, "correlation": correlation, "lag": lag, "overlap": mine.shape[1],
        "shift": shift,
    }  # fmt: skip
    slope, offset = value_scale(spec)
    fits = [Fit(method="own", residual=_residual(mine, theirs, slope, offset, spec), **fields)]
    if "gain" in methods and fits[0].residual > ROUNDING:
        gain = _gain(mine, theirs, slope, offset)
        if 1e-3 < abs(math.log(gain)) < 5:
            louder = recording_mel(spec, recording, gain, shift)
            parts = _overlap(mel_values, louder, lag, spec)
            fits.append(
                Fit(
                    method="gain",
                    residual=_residual(*parts, slope, offset, spec),
                    gain=gain,
                    **fields,
                )
            )
    uncorrelated = correlation < _MIN_CORRELATION
    if "affine" in methods and fits[-1].residual > ROUNDING and not uncorrelated:
        fits.append(_line(mine, theirs, fields))
    if "per band" in methods and min(fit.residual for fit in fits) > ROUNDING and not uncorrelated:
        fits.append(_lines(mine, theirs, fields))
    return min(fits, key=lambda fit: fit.rank)


def _overlap(
    mel_values: Values, expected: Values, lag: int, spec: MelSpec
) -> tuple[Values, Values]:
    """Frames that both mels have.

    Where one mel is longer, frames that the other's padding changes are left out.
    """
    first, last = max(lag, 0), min(lag + mel_values.shape[1], expected.shape[1])
    edge = math.ceil(spec.padding / spec.hop_length) + bool(spec.wav_steps)
    if last - first > 8 * edge:
        first += edge if lag else 0
        last -= edge if lag + mel_values.shape[1] != expected.shape[1] else 0
    return mel_values[:, first - lag : last - lag], expected[:, first:last]


def _residual(
    mel_values: Values, expected: Values, slope: Values, offset: Values, spec: MelSpec | None = None
) -> float:
    expected = expected * slope + offset
    method = spec.normalisation if spec is not None else None
    if isinstance(method, RangeNormalisation):
        expected = expected.clip(method.low, method.high)
    return float(np.minimum(np.abs((mel_values - expected) / slope), 1.0).mean())


def _gain(mel_values: Values, expected: Values, slope: Values, offset: Values) -> float:
    loud = expected > np.median(expected)
    difference = (mel_values - offset) / slope - expected
    return float(np.exp(np.clip(np.median(difference[loud]), -8, 8)))


def _some(values: Values) -> Values:
    """Frames spread evenly over the mel, enough to fit a line."""
    return values[:, :: max(values.shape[1] // _LINE_FRAMES, 1)]


def _line(mel_values: Values, expected: Values, fields: dict[str, Any]) -> Fit:
    """Robust fit of one slope and one offset for all bands."""
    all_frames = mel_values, expected
    mel_values, expected = _some(mel_values), _some(expected)
    weight = np.ones_like(expected)
    slope, offset = 1.0, 0.0
    for _ in range(8):
        total = weight.sum()
        x, y = (weight * expected).sum() / total, (weight * mel_values).sum() / total
        variance = (weight * (expected - x) ** 2).sum()
        slope = float((weight * (expected - x) * (mel_values - y)).sum() / max(variance, 1e-12))
        offset = float(y - slope * x)
        error = np.abs(mel_values - slope * expected - offset)
        weight = 1 / np.maximum(error, 1e-6 + 0.1 * np.median(error))
    residual = 1.0
    if slope > 1e-6:
        residual = _residual(*all_frames, np.full((1, 1), slope), np.full((1, 1), offset))
    return Fit(method="affine", residual=residual, slope=(slope,), offset=(offset,), **fields)


def _lines(mel_values: Values, expected: Values, fields: dict[str, Any]) -> Fit:
    """Robust fit of a slope and an offset for each band."""
    all_frames = mel_values, expected
    mel_values, expected = _some(mel_values), _some(expected)
    weight = np.ones_like(expected)
    slope = offset = np.zeros((len(expected), 1))
    for _ in range(8):
        total = weight.sum(axis=1, keepdims=True)
        x = (weight * expected).sum(axis=1, keepdims=True) / total
        y = (weight * mel_values).sum(axis=1, keepdims=True) / total
        variance = (weight * (expected - x) ** 2).sum(axis=1, keepdims=True)
        covariance = (weight * (expected - x) * (mel_values - y)).sum(axis=1, keepdims=True)
        slope = covariance / np.maximum(variance, 1e-12)
        offset = y - slope * x
        error = np.abs(mel_values - slope * expected - offset)
        weight = 1 / np.maximum(error, 1e-6 + 0.1 * np.median(error, axis=1, keepdims=True))
    usable = slope[:, 0] > 1e-6
    # A band at its floor throughout, above the recording's bandwidth, has no information.
    still = (np.ptp(all_frames[1], axis=1) < _STILL) & (np.ptp(all_frames[0], axis=1) < _STILL)
    usable &= ~still
    residual = 1.0
    if usable.sum() > 0.5 * len(expected):
        mel_values, expected = all_frames
        parts = (mel_values[usable], expected[usable], slope[usable], offset[usable])
        residual = max(_residual(*parts), 1 - float((usable | still).mean()))
    return Fit(
        method="per band",
        residual=residual,
        slope=tuple(slope[:, 0].tolist()),
        offset=tuple(offset[:, 0].tolist()),
        **fields,
    )
