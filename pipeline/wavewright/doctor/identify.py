"""Identification of the convention that best explains a mel of a recording, and its equals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.doctor.fit import METHODS, ROUNDING, Fit, FitMethod, Recording, explain, value_spec
from wavewright.doctor.readings import MelReading, mel_readings
from wavewright.doctor.search import at_sample_rate, search_nearby, shift_frames, with_fields
from wavewright.mel.spec import LOG_UNIT, MelSpec

FITS = 0.03  # a mean difference of three per cent; other resamplers and codecs stay below
_EXACT = 4e-6  # what two implementations of one convention differ by
_NO_VALUE_CHANGE = {"layout", "target_steps"}  # leave the values as they are


@dataclass(frozen=True)
class Explanation:
    """Best fit of a reading, and the presets that fit it equally well."""

    reading: MelReading
    fit: Fit
    groups: list[list[str]]
    """Groups of presets with equal values; best first."""
    variant: bool
    """True if no preset fits, but `fit.spec` does, which differs from the first of `groups`."""


def preset_groups(extra: dict[str, MelSpec] | None = None) -> list[tuple[list[str], MelSpec]]:
    """Group presets with equal values, with their convention in bands first.

    Args:
        extra: further conventions by name, such as a checkpoint's.
    """
    groups: list[tuple[list[str], MelSpec]] = []
    named = {name: MelSpec.preset(name) for name in MelSpec.presets()} | (extra or {})
    for name, spec in named.items():
        plain = value_spec(spec)
        for names, other in groups:
            if other == plain:
                names.append(name)
                break
        else:
            groups.append(([name], plain))
    return groups


def identify(
    array: npt.NDArray[np.floating],
    recording: Recording,
    extra: dict[str, MelSpec] | None = None,
) -> Explanation | None:
    """Find the best explanation of a mel of a recording; None if nothing can be compared.

    Args:
        array: (rows, columns) of either layout.
        recording: its waveform.
        extra: conventions to try besides the presets.
    """
    groups = preset_groups(extra)
    attempts = _fit_presets(array, recording, groups, ("own", "gain"))
    if not attempts or attempts[0][0].residual > _EXACT:
        attempts = _fit_presets(array, recording, groups, METHODS)
    if attempts and attempts[0][0].residual > _EXACT:
        attempts = sorted(
            [*attempts, *_fit_shifted(attempts, recording)], key=lambda item: item[0].rank
        )
    target_residual = max(5 * ROUNDING, _coarseness(array))
    if attempts and attempts[0][0].residual < target_residual:
        return _explain_by_presets(attempts)
    explanation = _search_variants(array, recording, attempts, groups, target_residual)
    if explanation is None or (attempts and attempts[0][0].rank < 5 * explanation.fit.rank):
        return (
            _explain_by_presets(attempts)
            if attempts and attempts[0][0].residual < FITS
            else explanation
        )
    return explanation


Attempt = tuple[Fit, MelReading, list[str]]


def _fit_presets(
    array: npt.NDArray[np.floating],
    recording: Recording,
    groups: list[tuple[list[str], MelSpec]],
    methods: tuple[FitMethod, ...],
) -> list[Attempt]:
    """Fit all presets, best first."""
    attempts: list[Attempt] = []
    for reading in mel_readings(array):
        for names, spec in groups:
            fit = explain(spec, reading.values, recording, methods=methods)
            if fit is not None:
                attempts.append((fit, reading, names))
        if attempts and min(item[0].residual for item in attempts) < _EXACT:
            break
    return sorted(attempts, key=lambda item: item[0].rank)


def _coarseness(array: npt.NDArray[np.floating]) -> float:
    """Mean rounding error of values that were float16, in their own unit; 0 for finer ones."""
    finite = array[np.isfinite(array)]
    if finite.size and np.array_equal(finite, finite.astype(np.float16).astype(finite.dtype)):
        return float(np.spacing(np.abs(finite).astype(np.float16)).mean())
    return 0.0


def _fit_shifted(attempts: list[Attempt], recording: Recording) -> list[Attempt]:
    """Fit the nearest presets again with shifted frames."""
    best = max(fit.correlation for fit, _, _ in attempts)
    nearest = [item for item in attempts if item[0].correlation > best - 0.1]
    shifted: list[Attempt] = []
    for fit, reading, names in nearest:
        half = fit.spec.hop_length // 2
        half_hop_fit = explain(fit.spec, reading.values, recording, shift=half)
        shifted += [(half_hop_fit, reading, names)] if half_hop_fit is not None else []
    if min(fit.residual for fit, _, _ in [*attempts, *shifted]) < _EXACT:
        return shifted
    # A recording that was trimmed before its mel was taken begins anywhere.
    nearest.sort(key=lambda item: -item[0].correlation)
    return shifted + [
        (shift_frames(fit, reading.values, recording), reading, n)
        for fit, reading, n in nearest[:6]
    ]


def _explain_by_presets(attempts: list[Attempt]) -> Explanation:
    best, reading, _ = attempts[0]
    equal_fits: list[tuple[Fit, list[str]]] = []
    for fit, _, names in attempts:
        if fit.rank > 2 * best.rank:
            break
        # Another line through the same analysis is not another convention.
        differences = [set(differing_fields(fit.spec, other.spec)) for other, _ in equal_fits]
        fitted = fit.method in ("affine", "per band")
        is_repeated = any(names is other for _, other in equal_fits)
        if not is_repeated and not (
            fitted and any(fields <= {"normalisation"} for fields in differences)
        ):
            equal_fits.append((fit, names))
    return Explanation(reading, best, [names for _, names in equal_fits], variant=False)


def _search_variants(
    array: npt.NDArray[np.floating],
    recording: Recording,
    attempts: list[Attempt],
    groups: list[tuple[list[str], MelSpec]],
    target_residual: float,
) -> Explanation | None:
    """Search for variants of the presets: other sample rates first, then other fields."""
    starts = [(fit, reading) for fit, reading, _ in attempts]
    for reading in mel_readings(array):
        for spec in _adapt_presets(groups, reading.bands, recording.rate, wide=not attempts):
            fit = explain(spec, reading.values, recording)
            if fit is not None:
                starts.append((fit, reading))
    if not starts:
        return None
    starts.sort(key=lambda item: (round(item[0].residual, 4), -item[0].correlation))
    if starts[0][0].residual > FITS:
        starts.sort(key=lambda item: -item[0].correlation)
    reading = starts[0][1]
    same: list[Fit] = []
    for fit, other in starts:
        if other is reading and all(fit.spec != one.spec for one in same):
            same.append(fit)
    fit = search_nearby(same, reading.values, recording, target_residual)
    if base := log_base(fit):
        unscaled = with_fields(fit.spec, log=base, normalisation=None)
        plain = _refit(unscaled, fit, reading, recording)
        fit = plain if plain is not None and plain.rank < 2 * fit.rank else fit
    fit = _simplified(fit, reading, recording, groups)
    return Explanation(reading, fit, _nearest_presets(fit.spec, groups), variant=True)


def _refit(spec: MelSpec | None, fit: Fit, reading: MelReading, recording: Recording) -> Fit | None:
    if spec is None:
        return None
    return explain(spec, reading.values, recording, methods=("own", "gain"), shift=fit.shift)


def _simplified(
    fit: Fit, reading: MelReading, recording: Recording, groups: list[tuple[list[str], MelSpec]]
) -> Fit:
    """Remove the differences from the nearest preset that this mel does not show."""
    if fit.method not in ("own", "gain"):
        return fit
    nearest = sorted((spec for _, spec in groups), key=lambda spec: _distance(fit.spec, spec))[:3]
    best = fit
    for preset in nearest:
        simple = fit
        for name, (_, value) in differing_fields(fit.spec, preset).items():
            plain = _refit(with_fields(simple.spec, **{name: value}), fit, reading, recording)
            if plain is not None and plain.rank <= 1.1 * simple.rank:
                simple = plain
        if _distance(simple.spec, preset) < min(_distance(best.spec, spec) for spec in nearest):
            best = simple
    return best


def log_base(fit: Fit) -> str:
    """Base of the logarithm that the fitted line corresponds to; empty for none."""
    if fit.method == "affine" and abs(fit.offset[0]) < 0.02:
        for name, factor in LOG_UNIT.items():
            if abs(fit.slope[0] / factor - 1) < 0.01:
                return name
    return ""


def _adapt_presets(
    groups: list[tuple[list[str], MelSpec]], bands: int, rate: int, *, wide: bool
) -> list[MelSpec]:
    """Adapt presets to the recording's sample rate and, with `wide`, to a number of bands."""
    specs: list[MelSpec] = []
    for _, spec in groups:
        if not wide and spec.n_mels != bands:
            continue
        plain = with_fields(spec, n_mels=bands, normalisation=None)
        resampled = at_sample_rate(plain, rate) if plain is not None else None
        # Another mel scale resembles no preset, so it is tried from the start.
        htk = resampled and with_fields(resampled, mel_scale="htk", mel_norm=None)
        specs += [one for one in (resampled, htk) if one is not None and one not in specs]
    return specs


def _nearest_presets(spec: MelSpec, groups: list[tuple[list[str], MelSpec]]) -> list[list[str]]:
    """Presets that differ in the fewest fields; the number of bands counts three times."""
    counts = [(_distance(spec, other), names) for names, other in groups]
    least = min(count for count, _ in counts)
    return [names for count, names in counts if count == least]


def _distance(spec: MelSpec, other: MelSpec) -> int:
    return len(differing_fields(spec, other)) + 2 * (spec.n_mels != other.n_mels)


def differing_fields(spec: MelSpec, other: MelSpec) -> dict[str, tuple[object, object]]:
    """Fields that change values and differ between two conventions."""
    differing = spec.differences(other)
    return {name: pair for name, pair in differing.items() if name not in _NO_VALUE_CHANGE}
