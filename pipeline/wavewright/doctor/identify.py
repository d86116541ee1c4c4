"""Which convention explains a mel of a recording best, and which others do as well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.doctor.fit import HOWS, ROUNDING, Fit, How, Recording, explain, numbers
from wavewright.doctor.readings import Given, readings
from wavewright.doctor.search import at_rate, between, changed, nearby
from wavewright.mel.spec import LOG_UNIT, MelSpec

FITS = 0.03  # a mean difference of three per cent; other resamplers and codecs stay below
_EXACT = 4e-6  # what two implementations of one convention differ by
_UNSAID = {"layout", "target_steps"}  # leave the values as they are


@dataclass(frozen=True)
class Explained:
    """The best explanation of a reading, and the presets that explain it as well."""

    given: Given
    fit: Fit
    groups: list[list[str]]
    """Presets of equal numbers stand together; best first."""
    variant: bool
    """No preset explains it, but `fit.spec` does, which differs from the first of `groups`."""


def groups_of_presets(extra: dict[str, MelSpec] | None = None) -> list[tuple[list[str], MelSpec]]:
    """Presets with equal numbers together, with their convention in bands first.

    Args:
        extra: further conventions by name, such as a checkpoint's.
    """
    found: list[tuple[list[str], MelSpec]] = []
    named = {name: MelSpec.preset(name) for name in MelSpec.presets()} | (extra or {})
    for name, spec in named.items():
        plain = numbers(spec)
        for names, other in found:
            if other == plain:
                names.append(name)
                break
        else:
            found.append(([name], plain))
    return found


def identify(
    array: npt.NDArray[np.floating],
    recording: Recording,
    extra: dict[str, MelSpec] | None = None,
) -> Explained | None:
    """The best explanation of a mel by a recording; None if there is nothing to compare.

    Args:
        array: (rows, columns) of either layout.
        recording: its waveform.
        extra: conventions to try beside the presets.
    """
    groups = groups_of_presets(extra)
    tried = _try(array, recording, groups, ("own", "gain"))
    if not tried or tried[0][0].residual > _EXACT:
        tried = _try(array, recording, groups, HOWS)
    if tried and tried[0][0].residual > _EXACT:
        tried = sorted([*tried, *_late(tried, recording)], key=lambda item: item[0].rank)
    enough = max(5 * ROUNDING, _coarseness(array))
    if tried and tried[0][0].residual < enough:
        return _settled(tried)
    found = _vary(array, recording, tried, groups, enough)
    if found is None or (tried and tried[0][0].rank < 5 * found.fit.rank):
        return _settled(tried) if tried and tried[0][0].residual < FITS else found
    return found


Tried = tuple[Fit, Given, list[str]]


def _try(
    array: npt.NDArray[np.floating],
    recording: Recording,
    groups: list[tuple[list[str], MelSpec]],
    hows: tuple[How, ...],
) -> list[Tried]:
    """Explanations by the presets, best first."""
    tried: list[Tried] = []
    for given in readings(array):
        for names, spec in groups:
            fit = explain(spec, given.values, recording, hows=hows)
            if fit is not None:
                tried.append((fit, given, names))
        if tried and min(item[0].residual for item in tried) < _EXACT:
            break
    return sorted(tried, key=lambda item: item[0].rank)


def _coarseness(array: npt.NDArray[np.floating]) -> float:
    """Mean error of values that have been float16, in their own unit; 0 for finer ones."""
    finite = array[np.isfinite(array)]
    if finite.size and np.array_equal(finite, finite.astype(np.float16).astype(finite.dtype)):
        return float(np.spacing(np.abs(finite).astype(np.float16)).mean())
    return 0.0


def _late(tried: list[Tried], recording: Recording) -> list[Tried]:
    """The presets that come nearest, with their frames between their own."""
    best = max(fit.correlation for fit, _, _ in tried)
    near = [item for item in tried if item[0].correlation > best - 0.1]
    late: list[Tried] = []
    for fit, given, names in near:
        half = fit.spec.hop_length // 2
        moved = explain(fit.spec, given.values, recording, shift=half)
        late += [(moved, given, names)] if moved is not None else []
    if min(fit.residual for fit, _, _ in [*tried, *late]) < _EXACT:
        return late
    # A recording that was trimmed before its mel was taken begins anywhere.
    near.sort(key=lambda item: -item[0].correlation)
    return late + [(between(fit, given.values, recording), given, n) for fit, given, n in near[:6]]


def _settled(tried: list[Tried]) -> Explained:
    best, given, _ = tried[0]
    alike: list[tuple[Fit, list[str]]] = []
    for fit, _, names in tried:
        if fit.rank > 2 * best.rank:
            break
        # Another line through the same analysis is no other convention.
        told = [set(told_apart(fit.spec, other.spec)) for other, _ in alike]
        fitted = fit.how in ("affine", "per band")
        again = any(names is other for _, other in alike)
        if not again and not (fitted and any(fields <= {"normalisation"} for fields in told)):
            alike.append((fit, names))
    return Explained(given, best, [names for _, names in alike], variant=False)


def _vary(
    array: npt.NDArray[np.floating],
    recording: Recording,
    tried: list[Tried],
    groups: list[tuple[list[str], MelSpec]],
    enough: float,
) -> Explained | None:
    """Look beside the presets: other sample rates first, then other fields."""
    starts = [(fit, given) for fit, given, _ in tried]
    for given in readings(array):
        for spec in _adapted(groups, given.bands, recording.rate, wide=not tried):
            fit = explain(spec, given.values, recording)
            if fit is not None:
                starts.append((fit, given))
    if not starts:
        return None
    starts.sort(key=lambda item: (round(item[0].residual, 4), -item[0].correlation))
    if starts[0][0].residual > FITS:
        starts.sort(key=lambda item: -item[0].correlation)
    given = starts[0][1]
    same: list[Fit] = []
    for fit, other in starts:
        if other is given and all(fit.spec != one.spec for one in same):
            same.append(fit)
    fit = nearby(same, given.values, recording, enough)
    if base := log_base(fit):
        unscaled = changed(fit.spec, log=base, normalisation=None)
        plain = _explained(unscaled, fit, given, recording)
        fit = plain if plain is not None and plain.rank < 2 * fit.rank else fit
    fit = _simplified(fit, given, recording, groups)
    return Explained(given, fit, _nearest(fit.spec, groups), variant=True)


def _explained(spec: MelSpec | None, fit: Fit, given: Given, recording: Recording) -> Fit | None:
    if spec is None:
        return None
    return explain(spec, given.values, recording, hows=("own", "gain"), shift=fit.shift)


def _simplified(
    fit: Fit, given: Given, recording: Recording, groups: list[tuple[list[str], MelSpec]]
) -> Fit:
    """The same without those differences from the nearest preset that this mel does not show."""
    if fit.how not in ("own", "gain"):
        return fit
    near = sorted((spec for _, spec in groups), key=lambda spec: _distance(fit.spec, spec))[:3]
    best = fit
    for preset in near:
        simple = fit
        for name, (_, value) in told_apart(fit.spec, preset).items():
            plain = _explained(changed(simple.spec, **{name: value}), fit, given, recording)
            if plain is not None and plain.rank <= 1.1 * simple.rank:
                simple = plain
        if _distance(simple.spec, preset) < min(_distance(best.spec, spec) for spec in near):
            best = simple
    return best


def log_base(fit: Fit) -> str:
    """The logarithm whose unit the fitted line is, if it is one's."""
    if fit.how == "affine" and abs(fit.offset[0]) < 0.02:
        for name, factor in LOG_UNIT.items():
            if abs(fit.slope[0] / factor - 1) < 0.01:
                return name
    return ""


def _adapted(
    groups: list[tuple[list[str], MelSpec]], bands: int, rate: int, *, wide: bool
) -> list[MelSpec]:
    """Presets run at the recording's rate and, if no preset has such bands, with so many."""
    specs: list[MelSpec] = []
    for _, spec in groups:
        if not wide and spec.n_mels != bands:
            continue
        plain = changed(spec, n_mels=bands, normalisation=None)
        moved = at_rate(plain, rate) if plain is not None else None
        # Another mel scale looks like nothing known, so it is tried from the start.
        turned = moved and changed(moved, mel_scale="htk", mel_norm=None)
        specs += [one for one in (moved, turned) if one is not None and one not in specs]
    return specs


def _nearest(spec: MelSpec, groups: list[tuple[list[str], MelSpec]]) -> list[list[str]]:
    """The presets that differ in the fewest fields; the number of bands counts three times."""
    counts = [(_distance(spec, other), names) for names, other in groups]
    least = min(count for count, _ in counts)
    return [names for count, names in counts if count == least]


def _distance(spec: MelSpec, other: MelSpec) -> int:
    return len(told_apart(spec, other)) + 2 * (spec.n_mels != other.n_mels)


def told_apart(spec: MelSpec, other: MelSpec) -> dict[str, tuple[object, object]]:
    """Fields in which two conventions' numbers differ."""
    differing = spec.differences(other)
    return {name: pair for name, pair in differing.items() if name not in _UNSAID}
