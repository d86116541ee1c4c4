"""Waveform to log-mel and between conventions: the reference, differentiable, on any device.

Every convention is a MelSpec; nothing here has a default of its own. `mel_numpy` is the fast path
for whole recordings.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wavewright.audio.filters import apply_filters
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import (
    LOG_UNIT,
    MelSpec,
    Normalisation,
    RangeNormalisation,
    StatisticsNormalisation,
    format_differences,
    mel_filterbank,
    require_samples,
)


@lru_cache(maxsize=32)
def _constants(spec: MelSpec, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # cached for training too, even if inference is first
        basis = torch.from_numpy(mel_filterbank(spec)).to(device, dtype)
        window = torch.hann_window(
            spec.win_length, periodic=spec.window_periodic, dtype=dtype, device=device
        )
        return basis, window


def magnitude(wav: Tensor, spec: MelSpec, *, includes_padding: bool = False) -> Tensor:
    """Magnitude spectrogram in the framing of `spec`, differentiable.

    Args:
        wav: (..., samples), float in [-1, 1], at `spec.sample_rate` Hz.
        includes_padding: the waveform already has the context around its frames, n_fft samples
            for the first and hop_length for each further frame; nothing is padded. Only for a
            spec without `wav_steps`, which need more context.

    Returns:
        (..., 1 + n_fft // 2, frames), raised to `spec.power`.

    Raises:
        WavewrightError: `wav` holds integers, or is too short to be padded by reflection.
    """
    if not wav.is_floating_point():
        raise WavewrightError(f"a waveform must be floating-point in [-1, 1], found {wav.dtype}")
    samples = wav.shape[-1]
    if not includes_padding:
        require_samples(samples, spec)
        wav = apply_filters(wav, spec.wav_steps, spec.sample_rate)
    elif spec.wav_steps:
        raise WavewrightError("wav_steps look further back than a part of a waveform reaches")
    _, window = _constants(spec, wav.device, wav.dtype)
    flat = wav.reshape(-1, samples)
    edge = 0 if includes_padding else spec.padding
    padded = F.pad(flat[:, None], (edge, edge), mode=spec.pad_mode)[:, 0]
    spectrum = torch.stft(
        padded,
        spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        window=window,
        center=False,
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    if spec.magnitude_guard == "clamp":
        power = power.clamp(min=spec.magnitude_eps)
    else:
        power = power + spec.magnitude_eps
    # The root's gradient at 0 is infinite; the smallest normal number is as silent.
    values = power.clamp(min=torch.finfo(power.dtype).tiny).sqrt() if spec.power == 1 else power
    return values.reshape(*wav.shape[:-1], *values.shape[-2:])


def log_mel(wav: Tensor, spec: MelSpec, *, includes_padding: bool = False) -> Tensor:
    """Log-mel spectrogram as `spec` defines it, differentiable.

    Computed in float64 where the convention's own code does (`spec.in_float64`) and the device
    can: in float32 the quietest cells of loud frames would be up to 7e-4 off.

    Args:
        wav: (..., samples), float in [-1, 1], at `spec.sample_rate` Hz.
        includes_padding: see `magnitude`.

    Returns:
        (..., n_mels, spec.frames(samples)) of the waveform's type, in the unit of `spec.log`,
        normalised if it says so; the last two axes the other way round if `spec.layout` is
        `frames_first`.

    Raises:
        WavewrightError: `wav` holds integers, or is too short to be padded by reflection.
    """
    dtype = wav.dtype
    if spec.in_float64 and dtype == torch.float32 and wav.device.type != "mps":
        wav = wav.double()
    values = magnitude(wav, spec, includes_padding=includes_padding)
    basis, _ = _constants(spec, wav.device, wav.dtype)
    amplitude = basis @ values
    guarded = amplitude + spec.floor if spec.guard == "add" else amplitude.clamp(min=spec.floor)
    mel = _normalise(guarded.log() * LOG_UNIT[spec.log], spec.normalisation).to(dtype)
    return mel if spec.layout == "bands_first" else mel.mT


def _per_band(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]


def _normalise(mel: Tensor, how: Normalisation | None) -> Tensor:
    if isinstance(how, RangeNormalisation):
        return (mel * how.scale + how.shift).clamp(how.low, how.high)
    if isinstance(how, StatisticsNormalisation):
        return (mel - _per_band(how.mean, mel)) / _per_band(how.scale, mel)
    return mel


def _denormalise(mel: Tensor, how: Normalisation | None) -> Tensor:
    if isinstance(how, RangeNormalisation):
        return (mel - how.shift) / how.scale
    if isinstance(how, StatisticsNormalisation):
        return mel * _per_band(how.scale, mel) + _per_band(how.mean, mel)
    return mel


def silent_mel(spec: MelSpec, frames: int) -> np.ndarray:
    """Mel of digital silence: (n_mels, frames) float32."""
    silence = np.array(spec.silence, dtype=np.float32)
    return np.repeat(silence[:, None], frames, axis=1)


_CONVERTED = ("log", "normalisation", "layout", "target_steps", "floor", "guard")


def convert_mel(mel: Tensor, source: MelSpec, target: MelSpec) -> Tensor:
    """Convert a mel to another convention, where that is exact.

    Exact are the base of the logarithm, the normalisation, the order of the axes, and a floor that
    is raised (`clamp` or `add` to a higher one; `add` to `clamp`). Sample rate, hop, window, band,
    mel scale, magnitude guard, framing and steps on the waveform cannot be changed in a mel. Values
    that the source's range normalisation has clipped are lost, so a mel with such values is refused
    if the target would distinguish them.

    Args:
        mel: (..., n_mels, frames), or (..., frames, n_mels) if `source.layout` says so.
        source: its convention.
        target: the convention of the result.

    Returns:
        The mel in the layout and convention of `target`, in the same dtype.

    Raises:
        MelMismatch: naming every field that cannot be converted, with both values.
        WavewrightError: the number of bands is not that of `source`.
    """
    require_convertible(source, target)
    axis = -2 if source.layout == "bands_first" else -1
    if mel.ndim < 2 or mel.shape[axis] != source.n_mels:
        order = "(n_mels, frames)" if axis == -2 else "(frames, n_mels)"
        raise WavewrightError(
            f"the source has {source.n_mels} bands and is laid out {order}, but the mel's shape "
            f"is {tuple(mel.shape)}"
        )
    if source == target:
        return mel
    if source.layout != target.layout:
        mel = mel.mT
    if _values_of(source) == _values_of(target):
        return mel
    bands_first = mel if target.layout == "bands_first" else mel.mT
    values = _convert_values(bands_first.double(), source, target).to(mel.dtype)
    return values if target.layout == "bands_first" else values.mT


def _values_of(spec: MelSpec) -> tuple[object, ...]:
    return spec.log, spec.normalisation, spec.floor, spec.guard


def require_convertible(source: MelSpec, target: MelSpec) -> None:
    """Raise MelMismatch, naming the fields, unless `convert_mel` can go from one to the other."""
    differing = source.differences(target)
    floor_is_raised = (
        target.floor >= source.floor
        if source.guard == "add"
        else (target.guard == "clamp" and target.floor >= source.floor)
    )
    for name in _CONVERTED:
        if name not in ("floor", "guard") or floor_is_raised:
            differing.pop(name, None)
    if not differing:
        return
    advice = (
        "Take the mel from the waveform with the target's settings (ww.log_mel(wav, target)), or "
        "use a vocoder that was trained on the source's convention"
    )
    if differing.keys() <= {"floor", "guard"}:
        advice = "What lies under the source's floor is lost. " + advice
    raise MelMismatch(
        f"this mel cannot be converted exactly: {format_differences(differing)}. {advice}."
    )


def _convert_values(mel: Tensor, source: MelSpec, target: MelSpec) -> Tensor:
    """Convert the values of (..., n_mels, frames) float64."""
    _require_nothing_clipped(mel, source, target)
    natural = _denormalise(mel, source.normalisation) / LOG_UNIT[source.log]
    if (source.floor, source.guard) != (target.floor, target.guard):
        amplitude = natural.exp() - (source.floor if source.guard == "add" else 0.0)
        if target.guard == "add":
            amplitude = amplitude.clamp(min=0.0) + target.floor
        natural = amplitude.clamp(min=target.floor).log()
    return _normalise(natural * LOG_UNIT[target.log], target.normalisation)


def _bounds(spec: MelSpec) -> tuple[float, float]:
    """Natural logarithms of the smallest and largest amplitude that a mel of `spec` can hold."""
    least, largest = float(np.log(spec.floor)), float("inf")
    if isinstance(spec.normalisation, RangeNormalisation):
        how, unit = spec.normalisation, LOG_UNIT[spec.log]
        least = max(least, (how.low - how.shift) / how.scale / unit)
        largest = (how.high - how.shift) / how.scale / unit
    return least, largest


def _require_nothing_clipped(mel: Tensor, source: MelSpec, target: MelSpec) -> None:
    how = source.normalisation
    if not isinstance(how, RangeNormalisation):
        return
    (least, largest), (lower, higher) = _bounds(source), _bounds(target)
    slack = 1e-6 * (how.high - how.low)
    lost = torch.zeros_like(mel, dtype=torch.bool)
    if higher > largest + 1e-9:
        lost |= mel >= how.high - slack
    if lower < least - 1e-9:
        lost |= mel <= how.low + slack
    count = int(lost.sum())
    if count:
        raise MelMismatch(
            f"this mel cannot be converted exactly: {count} of its {mel.numel()} values were "
            f"clipped by the source's normalisation {how}, and normalisation "
            f"{target.normalisation} with floor {target.floor:g} would tell them apart. Take the "
            "mel from the waveform with the target's settings (ww.log_mel(wav, target))."
        )


def amplitude_from_log_mel(mel: Tensor, spec: MelSpec) -> Tensor:
    """Undo the logarithm and normalisation: (..., n_mels, frames) mel amplitude, at least 0."""
    amplitude = (_denormalise(mel, spec.normalisation) / LOG_UNIT[spec.log]).exp()
    return (amplitude - spec.floor).clamp(min=0) if spec.guard == "add" else amplitude
