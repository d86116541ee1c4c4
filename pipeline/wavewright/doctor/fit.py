"""How well a convention explains a given mel of a given recording.

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
How = Literal["own", "gain", "affine", "per band"]
HOWS: tuple[How, ...] = ("own", "gain", "affine", "per band")
_COST = {"own": 1.0, "gain": 1.5, "affine": 2.0, "per band": 4.0}
_SHIFT_COST = 1.5
_HOPELESS = 0.5  # correlation below which no line through the bands can be a good one
_STILL = 1e-3  # deviation of a band without sound
_KEPT = 64  # mels of one recording: every preset, and some
_FITTED = 300  # frames that lines are fitted to
_STILL = 1e-4  # a band that moves less does not move
ROUNDING = 1e-5  # what float32 leaves between two correct implementations, on average


@dataclass(frozen=True)
class Fit:
    """One convention's explanation of a mel."""

    spec: MelSpec
    how: How
    """What had to be fitted: nothing, a gain of the waveform, one line, or a line per band."""
    residual: float
    """Mean of min(|difference|, 1)."""
    correlation: float
    lag: int
    """Frame of the convention's mel that is the given mel's first."""
    overlap: int
    gain: float = 1.0
    shift: int = 0
    """Samples by which the frames are late."""
    slope: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    @property
    def rank(self) -> float:
        """Less is better; what needs fewer fitted numbers is preferred."""
        cost = _COST[self.how] * (_SHIFT_COST if self.shift else 1.0)
        return cost * (self.residual + ROUNDING)


@dataclass
class Recording:
    """A waveform at any sample rate asked for."""

    wav: Wav
    rate: int
    _at: dict[tuple[int, tuple[WavFilter, ...]], Wav] = field(default_factory=dict)
    _mels: dict[tuple[MelSpec, int], Values] = field(default_factory=dict)

    def at(self, rate: int, steps: tuple[WavFilter, ...] = ()) -> Wav:
        """(samples,) at `rate` Hz, after `steps`."""
        if (rate, steps) not in self._at:
            wav = resample(self.wav, self.rate, rate)
            if steps:
                wav = apply_filters(torch.from_numpy(wav), steps, rate).numpy()
            self._at[rate, steps] = wav
        return self._at[rate, steps]

    def mel(self, spec: MelSpec, shift: int = 0) -> Values:
        """`candidate` of this recording, kept."""
        plain = numbers(spec).model_copy(update={"normalisation": None})
        if (plain, shift) not in self._mels:
            if len(self._mels) >= _KEPT:
                self._mels.pop(next(iter(self._mels)))
            self._mels[plain, shift] = candidate(plain, self, shift=shift)
        return self._mels[plain, shift]

    def head(self, seconds: float) -> Recording:
        """Its first seconds."""
        return Recording(self.wav[: round(seconds * self.rate)], self.rate)


def numbers(spec: MelSpec) -> MelSpec:
    """`spec` without what leaves the values as they are."""
    return spec.model_copy(update={"layout": "bands_first", "target_steps": ()})


def candidate(spec: MelSpec, recording: Recording, gain: float = 1.0, shift: int = 0) -> Values:
    """(n_mels, frames): natural log-mel of the recording in `spec`, not normalised.

    Raises:
        WavewrightError: the recording is too short for it.
    """
    plain = numbers(spec).model_copy(update={"normalisation": None, "wav_steps": ()})
    # The steps are linear, so they may come before the gain; so they are done once.
    stepped = recording.at(spec.sample_rate, spec.wav_steps)
    wav = torch.from_numpy(stepped * np.float32(gain))
    if shift > 0:
        wav = wav[shift:]
    elif shift < 0:
        wav = torch.nn.functional.pad(wav, (-shift, 0))
    values: Values = log_mel(wav, plain).double().numpy() / LOG_UNIT[spec.log]
    return values


def unit(spec: MelSpec) -> tuple[Values, Values]:
    """(n_mels, 1) slope and offset from natural logarithms to the values of `spec`."""
    slope, offset = np.full((spec.n_mels, 1), LOG_UNIT[spec.log]), np.zeros((spec.n_mels, 1))
    how = spec.normalisation
    if isinstance(how, RangeNormalisation):
        return slope * how.scale, offset + how.shift
    if isinstance(how, StatisticsNormalisation):
        scale = np.array(how.scale)[:, None]
        return slope / scale, offset - np.array(how.mean)[:, None] / scale
    return slope, offset


def align(given: Values, made: Values) -> tuple[int, float]:
    """Lag in frames of `given` (n_mels, T) in `made` (n_mels, U), and the correlation there.

    Bands count by their variation about their own means. Half of the shorter must overlap.
    """
    length = given.shape[1]
    total = made.shape[1]
    size = 1 << (length + total).bit_length()
    deviation = given.std(axis=1, keepdims=True)
    a = (given - given.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-9)
    spread = np.maximum(made.std(axis=1, keepdims=True), 1e-9)
    b = (made - made.mean(axis=1, keepdims=True)) / spread
    turned = np.fft.rfft(a, size).conj()
    product = np.fft.irfft((turned * np.fft.rfft(b, size)).sum(axis=0), size)
    least = max(min(length, total) // 2, 1)
    lags = np.arange(least - length, total - least + 1)
    # Energy of b under the given's span: from cumulative sums, clipped to what there is.
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
    given: Values,
    recording: Recording,
    *,
    hows: tuple[How, ...] = HOWS,
    shift: int = 0,
) -> Fit | None:
    """The simplest good explanation of `given` (n_mels, T) by `spec`; None if it cannot be tried.

    Args:
        spec: the convention; its layout is not used.
        given: the mel, bands first.
        recording: of which the mel may be.
        hows: which fits are allowed.
        shift: samples of the waveform that are left out before the first frame.
    """
    if given.shape[0] != spec.n_mels:
        return None
    try:
        made = recording.mel(spec, shift)
    except WavewrightError:
        return None
    lag, correlation = align(given, made)
    mine, theirs = _overlap(given, made, lag, spec)
    common: dict[str, Any] = {
        "spec": spec, "correlation": correlation, "lag": lag, "overlap": mine.shape[1],
        "shift": shift,
    }  # fmt: skip
    slope, offset = unit(spec)
    fits = [Fit(how="own", residual=_residual(mine, theirs, slope, offset, spec), **common)]
    if "gain" in hows and fits[0].residual > ROUNDING:
        gain = _gain(mine, theirs, slope, offset)
        if 1e-3 < abs(math.log(gain)) < 5:
            louder = candidate(spec, recording, gain, shift)
            parts = _overlap(given, louder, lag, spec)
            fits.append(
                Fit(
                    how="gain", residual=_residual(*parts, slope, offset, spec), gain=gain, **common
                )
            )
    hopeless = correlation < _HOPELESS
    if "affine" in hows and fits[-1].residual > ROUNDING and not hopeless:
        fits.append(_line(mine, theirs, common))
    if "per band" in hows and min(fit.residual for fit in fits) > ROUNDING and not hopeless:
        fits.append(_lines(mine, theirs, common))
    return min(fits, key=lambda fit: fit.rank)


def _overlap(given: Values, made: Values, lag: int, spec: MelSpec) -> tuple[Values, Values]:
    """The frames that both have.

    Where one goes on, the other's padding may differ: those frames are left out.
    """
    first, last = max(lag, 0), min(lag + given.shape[1], made.shape[1])
    edge = math.ceil(spec.edge / spec.hop_length) + bool(spec.wav_steps)
    if last - first > 8 * edge:
        first += edge if lag else 0
        last -= edge if lag + given.shape[1] != made.shape[1] else 0
    return given[:, first - lag : last - lag], made[:, first:last]


def _residual(
    given: Values, made: Values, slope: Values, offset: Values, spec: MelSpec | None = None
) -> float:
    expected = made * slope + offset
    how = spec.normalisation if spec is not None else None
    if isinstance(how, RangeNormalisation):
        expected = expected.clip(how.low, how.high)
    return float(np.minimum(np.abs((given - expected) / slope), 1.0).mean())


def _gain(given: Values, made: Values, slope: Values, offset: Values) -> float:
    loud = made > np.median(made)
    difference = (given - offset) / slope - made
    return float(np.exp(np.clip(np.median(difference[loud]), -8, 8)))


def _some(values: Values) -> Values:
    """Frames spread over the whole, enough for a line."""
    return values[:, :: max(values.shape[1] // _FITTED, 1)]


def _line(given: Values, made: Values, common: dict[str, Any]) -> Fit:
    """One slope and one offset for all bands, robustly."""
    whole = given, made
    given, made = _some(given), _some(made)
    weight = np.ones_like(made)
    slope, offset = 1.0, 0.0
    for _ in range(8):
        total = weight.sum()
        x, y = (weight * made).sum() / total, (weight * given).sum() / total
        variance = (weight * (made - x) ** 2).sum()
        slope = float((weight * (made - x) * (given - y)).sum() / max(variance, 1e-12))
        offset = float(y - slope * x)
        error = np.abs(given - slope * made - offset)
        weight = 1 / np.maximum(error, 1e-6 + 0.1 * np.median(error))
    residual = 1.0
    if slope > 1e-6:
        residual = _residual(*whole, np.full((1, 1), slope), np.full((1, 1), offset))
    return Fit(how="affine", residual=residual, slope=(slope,), offset=(offset,), **common)


def _lines(given: Values, made: Values, common: dict[str, Any]) -> Fit:
    """A slope and an offset for each band, robustly."""
    whole = given, made
    given, made = _some(given), _some(made)
    weight = np.ones_like(made)
    slope = offset = np.zeros((len(made), 1))
    for _ in range(8):
        total = weight.sum(axis=1, keepdims=True)
        x = (weight * made).sum(axis=1, keepdims=True) / total
        y = (weight * given).sum(axis=1, keepdims=True) / total
        variance = (weight * (made - x) ** 2).sum(axis=1, keepdims=True)
        covariance = (weight * (made - x) * (given - y)).sum(axis=1, keepdims=True)
        slope = covariance / np.maximum(variance, 1e-12)
        offset = y - slope * x
        error = np.abs(given - slope * made - offset)
        weight = 1 / np.maximum(error, 1e-6 + 0.1 * np.median(error, axis=1, keepdims=True))
    usable = slope[:, 0] > 1e-6
    # A band that is at its floor throughout, above the recording's own bandwidth, says nothing.
    still = (np.ptp(whole[1], axis=1) < _STILL) & (np.ptp(whole[0], axis=1) < _STILL)
    usable &= ~still
    residual = 1.0
    if usable.sum() > 0.5 * len(made):
        given, made = whole
        parts = (given[usable], made[usable], slope[usable], offset[usable])
        residual = max(_residual(*parts), 1 - float((usable | still).mean()))
    return Fit(
        how="per band",
        residual=residual,
        slope=tuple(slope[:, 0].tolist()),
        offset=tuple(offset[:, 0].tolist()),
        **common,
    )
