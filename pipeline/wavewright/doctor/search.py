"""Search near the presets, field by field, for a convention that explains a mel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from wavewright.doctor.fit import METHODS, ROUNDING, Fit, FitMethod, Recording, Values, explain
from wavewright.mel.spec import MelSpec

_FRAMES = 200  # enough to distinguish fields
_MIN_CORRELATION = 0.5  # below it after one change, the search ends
_STARTS = 3
_ROUNDS = 8
_FMIN = (0.0, 20.0, 40.0, 50.0, 55.0, 60.0, 80.0, 90.0, 95.0, 125.0)
_FMAX = (
    4000.0, 5000.0, 5500.0, 6000.0, 6500.0, 7000.0, 7500.0, 7600.0, 8000.0, 8500.0, 9000.0, 9500.0,
    10000.0, 11000.0, 11025.0, 12000.0, 16000.0, 20000.0, 22050.0,
)  # fmt: skip
_HOPS = (80, 120, 128, 160, 200, 220, 240, 256, 275, 300, 320, 441, 480, 512, 600, 1024)
_FFTS = (512, 800, 1024, 2048, 4096)
_WINDOWS = (400, 512, 600, 640, 800, 1024, 1100, 1102, 1200, 1920, 2048, 4096)
_GUARDS: tuple[tuple[float, str], ...] = (
    (0.0, "add"), (1e-9, "add"), (1e-6, "add"), (1e-10, "clamp"), (1e-5, "clamp"),
)  # fmt: skip
_FLOORS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)


def with_fields(spec: MelSpec, **fields: Any) -> MelSpec | None:
    """Copy of `spec` with other fields; None where they contradict each other."""
    try:
        return MelSpec.model_validate({**spec.model_dump(), **fields})
    except (ValidationError, ValueError):
        return None


def at_sample_rate(spec: MelSpec, rate: int) -> MelSpec | None:
    """Copy of `spec` at another sample rate with otherwise the same configuration."""
    half = spec.sample_rate / 2
    fmax = rate / 2 if spec.fmax == half else min(spec.fmax, rate / 2)
    return with_fields(spec, sample_rate=rate, fmax=fmax)


def search_nearby(
    start: list[Fit], mel_values: Values, recording: Recording, target_residual: float
) -> Fit:
    """Search from the first of `start`, changing one field at a time, for the best fit.

    Args:
        start: explanations, best first; at least one.
        mel_values: (n_mels, T).
        recording: the recording of the mel.
        target_residual: the residual at which the search ends.
    """
    starts: list[tuple[Fit, Fit, Values, Recording]] = []
    for fit in start[:_STARTS]:
        head, part, short = _first_frames(fit, mel_values, recording)
        starts.append((fit, _best_neighbor(head, part, short), part, short))
    starts.sort(key=lambda item: _penalty(item[1]))
    fits: list[Fit] = []
    for _, fit, part, short in starts[:2]:
        fits.append(_climb(fit, part, short, target_residual))
        if fits[-1].residual < target_residual:
            break
    best = min(fits, key=lambda fit: fit.rank)
    return explain(best.spec, mel_values, recording, shift=best.shift) or best


def shift_frames(fit: Fit, mel_values: Values, recording: Recording) -> Fit:
    """Shift the frames of a fit to where they explain the mel best.

    The search begins with steps of an eighth of a hop and halves them down to a sample.
    """
    methods: tuple[FitMethod, ...] = ("per band",) if fit.method == "per band" else ("own", "gain")
    hop = fit.spec.hop_length
    head, part, short = _first_frames(fit, mel_values, recording)

    def at(shift: int) -> Fit | None:
        return explain(fit.spec, part, short, methods=methods, shift=shift)

    neighbors = [head, *(at(hop * eighth // 8) for eighth in range(-3, 5) if eighth)]
    best = min((one for one in neighbors if one is not None), key=_penalty)
    step = hop // 16
    while step:
        sides = [at(best.shift + step), at(best.shift - step)]
        best = min([best, *(one for one in sides if one is not None)], key=_penalty)
        step //= 2
    return explain(fit.spec, mel_values, recording, shift=best.shift) or fit


def _first_frames(
    fit: Fit, mel_values: Values, recording: Recording
) -> tuple[Fit, Values, Recording]:
    """Fit the first frames only."""
    if mel_values.shape[1] <= _FRAMES:
        return fit, mel_values, recording
    end = (max(fit.lag, 0) + _FRAMES + 8) * fit.spec.hop_length + 2 * fit.spec.n_fft
    short, part = recording.head(end / fit.spec.sample_rate), mel_values[:, :_FRAMES]
    return explain(fit.spec, part, short, shift=fit.shift) or fit, part, short


def _best_neighbor(fit: Fit, mel_values: Values, recording: Recording) -> Fit:
    """Best neighbor of a fit, or the fit itself."""
    methods: tuple[FitMethod, ...] = (
        METHODS if fit.method == "per band" else ("own", "gain", "affine")
    )
    neighbors = (
        explain(spec, mel_values, recording, methods=methods, shift=shift)
        for spec, shift in _neighbors(fit, recording.rate)
    )
    best = min((one for one in neighbors if one is not None), key=_penalty, default=fit)
    return best if _penalty(best) < 0.9 * _penalty(fit) - ROUNDING else fit


def _climb(fit: Fit, mel_values: Values, recording: Recording, target_residual: float) -> Fit:
    for _ in range(_ROUNDS):
        if fit.residual < target_residual or fit.correlation < _MIN_CORRELATION:
            break
        best = _best_neighbor(fit, mel_values, recording)
        if best is fit:
            break
        fit = best
    return fit


def _penalty(fit: Fit) -> float:
    return fit.rank + 0.2 * (1 - fit.correlation)


def _neighbors(fit: Fit, rate: int) -> Iterator[tuple[MelSpec, int]]:
    """Neighbors of a fit: one field changed, or the frames shifted."""
    for fields in _fields(fit.spec, rate):
        spec = with_fields(fit.spec, **fields)
        if spec is not None and spec != fit.spec:
            yield spec, fit.shift
            if fit.shift and spec.framing != fit.spec.framing:  # which moves frames too
                yield spec, 0
    for part in (2, 4, 8, 16, 64, 256):
        for sign in (1, -1):
            shift = fit.shift + sign * fit.spec.hop_length // part
            if abs(shift) <= fit.spec.hop_length:
                yield fit.spec, shift


def _fields(spec: MelSpec, rate: int) -> Iterator[dict[str, Any]]:
    yield {"framing": "hop" if spec.framing == "center" else "center"}
    yield {"pad_mode": "constant" if spec.pad_mode == "reflect" else "reflect"}
    yield {"window_periodic": not spec.window_periodic}
    yield {"power": 3 - spec.power}
    yield {"guard": "add" if spec.guard == "clamp" else "clamp"}
    yield {"wav_steps": ()}
    for log in ("ln", "log10", "db"):
        yield {"log": log, "normalisation": None}
    for scale in ("slaney", "htk"):
        for norm in ("slaney", None):
            yield {"mel_scale": scale, "mel_norm": norm}
    for eps, guard in _GUARDS:
        yield {"magnitude_eps": eps, "magnitude_guard": guard}
    yield from ({"floor": floor} for floor in _FLOORS)
    yield from ({"fmin": fmin} for fmin in _FMIN)
    yield from ({"fmax": fmax} for fmax in sorted({*_FMAX, spec.sample_rate / 2}))
    yield from ({"hop_length": hop} for hop in _HOPS)
    yield from ({"win_length": length} for length in _WINDOWS)
    for size in _FFTS:
        yield {"n_fft": size, "win_length": min(size, spec.win_length)}
        yield {"n_fft": size, "win_length": size}
    other = at_sample_rate(spec, rate)
    if other is not None:
        yield {"sample_rate": rate, "fmax": other.fmax}
