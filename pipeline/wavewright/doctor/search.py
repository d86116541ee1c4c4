"""Conventions near the presets: which fields, changed, explain a mel that no preset explains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from wavewright.doctor.fit import HOWS, ROUNDING, Fit, How, Recording, Values, explain
from wavewright.mel.spec import MelSpec

_FRAMES = 200  # as many frames tell fields apart; more cost time
_HOPELESS = 0.5  # correlation after one change that more changes do not save
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


def changed(spec: MelSpec, **fields: Any) -> MelSpec | None:
    """`spec` with other fields, or None where they contradict each other."""
    try:
        return MelSpec.model_validate({**spec.model_dump(), **fields})
    except (ValidationError, ValueError):
        return None


def at_rate(spec: MelSpec, rate: int) -> MelSpec | None:
    """`spec` run at another sample rate, as if its configuration had been taken over."""
    half = spec.sample_rate / 2
    fmax = rate / 2 if spec.fmax == half else min(spec.fmax, rate / 2)
    return changed(spec, sample_rate=rate, fmax=fmax)


def nearby(start: list[Fit], given: Values, recording: Recording, enough: float) -> Fit:
    """Climb from the first of `start`, changing one field at a time; the best that is found.

    Args:
        start: explanations, best first; at least one.
        given: (n_mels, T).
        recording: of which the mel is.
        enough: the residual at which the search ends.
    """
    begun: list[tuple[Fit, Fit, Values, Recording]] = []
    for fit in start[:_STARTS]:
        head, part, short = _head(fit, given, recording)
        begun.append((fit, _step(head, part, short), part, short))
    begun.sort(key=lambda item: _order(item[1]))
    found: list[Fit] = []
    for _, fit, part, short in begun[:2]:
        found.append(_climb(fit, part, short, enough))
        if found[-1].residual < enough:
            break
    best = min(found, key=lambda fit: fit.rank)
    return explain(best.spec, given, recording, shift=best.shift) or best


def between(fit: Fit, given: Values, recording: Recording) -> Fit:
    """The same convention with its frames shifted to where they explain `given` best.

    Steps of an eighth of a hop find the place, halved steps the sample.
    """
    hows: tuple[How, ...] = ("per band",) if fit.how == "per band" else ("own", "gain")
    hop = fit.spec.hop_length
    head, part, short = _head(fit, given, recording)

    def at(shift: int) -> Fit | None:
        return explain(fit.spec, part, short, hows=hows, shift=shift)

    tried = [head, *(at(hop * eighth // 8) for eighth in range(-3, 5) if eighth)]
    best = min((one for one in tried if one is not None), key=_order)
    step = hop // 16
    while step:
        sides = [at(best.shift + step), at(best.shift - step)]
        best = min([best, *(one for one in sides if one is not None)], key=_order)
        step //= 2
    return explain(fit.spec, given, recording, shift=best.shift) or fit


def _head(fit: Fit, given: Values, recording: Recording) -> tuple[Fit, Values, Recording]:
    """The first frames only, explained again."""
    if given.shape[1] <= _FRAMES:
        return fit, given, recording
    end = (max(fit.lag, 0) + _FRAMES + 8) * fit.spec.hop_length + 2 * fit.spec.n_fft
    short, part = recording.head(end / fit.spec.sample_rate), given[:, :_FRAMES]
    return explain(fit.spec, part, short, shift=fit.shift) or fit, part, short


def _step(fit: Fit, given: Values, recording: Recording) -> Fit:
    """The best neighbour, or the fit itself."""
    hows: tuple[How, ...] = HOWS if fit.how == "per band" else ("own", "gain", "affine")
    tried = (
        explain(spec, given, recording, hows=hows, shift=shift)
        for spec, shift in _moves(fit, recording.rate)
    )
    best = min((one for one in tried if one is not None), key=_order, default=fit)
    return best if _order(best) < 0.9 * _order(fit) - ROUNDING else fit


def _climb(fit: Fit, given: Values, recording: Recording, enough: float) -> Fit:
    for _ in range(_ROUNDS):
        if fit.residual < enough or fit.correlation < _HOPELESS:
            break
        best = _step(fit, given, recording)
        if best is fit:
            break
        fit = best
    return fit


def _order(fit: Fit) -> float:
    return fit.rank + 0.2 * (1 - fit.correlation)


def _moves(fit: Fit, rate: int) -> Iterator[tuple[MelSpec, int]]:
    """Neighbours: one field changed, or the frames shifted."""
    for fields in _fields(fit.spec, rate):
        spec = changed(fit.spec, **fields)
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
    other = at_rate(spec, rate)
    if other is not None:
        yield {"sample_rate": rate, "fmax": other.fmax}
