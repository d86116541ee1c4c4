"""Diagnosis of a mel without its recording, from the range and distribution of its values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.doctor.diagnosis import Diagnosis, join_or
from wavewright.doctor.fit import value_scale, value_spec
from wavewright.doctor.identify import preset_groups
from wavewright.doctor.readings import MelReading, mel_readings, roughness
from wavewright.mel.spec import LOG_UNIT, MelSpec, RangeNormalisation, mel_filterbank

_DECIBEL = 20 / math.log(10)
_RANGE = (
    30.0,
    170.0,
)  # dB between the quietest and loudest cells of recorded speech, with a margin
_USUAL = (50.0, 110.0)


@dataclass(frozen=True)
class LikelyConvention:
    """Convention that the values allow; a smaller penalty is more likely."""

    names: list[str]
    spec: MelSpec
    penalty: float
    statistics: bool = False
    """True if the values are normalised per band."""


def diagnose(
    array: npt.NDArray[np.floating], extra: dict[str, MelSpec] | None = None
) -> tuple[Diagnosis, list[LikelyConvention]]:
    """Rank the conventions that the values of a mel allow.

    Args:
        array: (rows, columns) of either layout.
        extra: conventions to consider beside the presets.
    """
    candidates = mel_readings(array)
    groups = preset_groups(extra)
    ranked = [(reading, _ranked(reading, groups)) for reading in candidates]
    possible = [(reading, likely) for reading, likely in ranked if likely]
    if not possible:
        return _nothing(array, candidates), []
    # A square array's layout is not in its shape; frames change less than bands do.
    reading, likely = min(possible, key=lambda item: (item[0].linear, roughness(item[0].values)))
    square = len({g.layout for g, _ in possible}) > 1
    best = [one for one in likely if one.penalty <= likely[0].penalty + 1.0]
    diagnosis = Diagnosis(
        _verdict(reading, best),
        [name for one in likely for name in one.names],
        "medium" if len(best) == 1 and not square else "low",
    )
    _values(diagnosis, reading, square)
    _likely_scale(diagnosis, reading, likely)
    rest = [one for one in likely if one not in best]
    if rest:
        diagnosis.add("also possible", ", ".join(" = ".join(one.names) for one in rest), "low")
    diagnosis.add(
        "not knowable", "hop, framing, sample rate and band are not in the values: ambiguous", "low"
    )
    diagnosis.decide = "the recording: wavewright doctor --mel MEL --wav WAV"
    return diagnosis, likely


def _verdict(reading: MelReading, best: list[LikelyConvention]) -> str:
    plain = [" = ".join(one.names) for one in best if not one.statistics]
    if any(one.statistics for one in best):
        tail = f", or is {join_or(plain)} as it is" if plain else ""
        return (
            f"This mel of {reading.bands} bands is normalised band by band, and may be of any "
            f"convention of so many bands{tail}."
        )
    linear = " but for the logarithm" if reading.linear else ""
    return f"By its values this mel is most likely in the convention {join_or(plain)}{linear}."


def _nothing(array: npt.NDArray[np.floating], candidates: list[MelReading]) -> Diagnosis:
    diagnosis = Diagnosis(
        f"No known convention has such values in the shape {array.shape}.", confidence="low"
    )
    for reading in candidates[:1]:
        _values(diagnosis, reading, len(candidates) > 1)
    diagnosis.decide = "the recording: wavewright doctor --mel MEL --wav WAV"
    return diagnosis


def is_standardized(values: npt.NDArray[np.float64]) -> bool:
    """True if the bands (n_mels, frames) have means of about 0 and deviations of about 1."""
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    spread = float(np.median(deviation))
    return bool(abs(float(mean.mean())) < 0.7 and 0.5 < spread < 1.6 and float(mean.std()) < 0.6)


def _ranked(reading: MelReading, groups: list[tuple[list[str], MelSpec]]) -> list[LikelyConvention]:
    conventions: list[LikelyConvention] = []
    by_statistics = is_standardized(reading.values) and not reading.linear
    for names, spec in groups:
        if spec.n_mels != reading.bands:
            continue
        if by_statistics and spec.normalisation is None:
            conventions.append(LikelyConvention(names, spec, 1.0, statistics=True))
        elif (penalty := _penalty(reading, spec)) is not None:
            conventions.append(LikelyConvention(names, spec, penalty))
    return sorted(conventions, key=lambda one: one.penalty)


def _penalty(reading: MelReading, spec: MelSpec) -> float | None:
    """Penalty of the values in `spec`; None where they are impossible."""
    values = reading.values
    if reading.linear and spec.normalisation is not None:
        return None
    slope, offset = value_scale(spec) if not reading.linear else (np.ones((1, 1)), np.zeros((1, 1)))
    normalization = spec.normalisation
    slack = 0.02
    if isinstance(normalization, RangeNormalisation):
        width = normalization.high - normalization.low
        if (
            values.min() < normalization.low - 1e-3 * width
            or values.max() > normalization.high + 1e-3 * width
        ):
            return None
        if values.max() < normalization.low + 0.25 * width:
            return None
    natural = (values - offset) / slope
    silence = (np.array(value_spec(spec).silence)[:, None] - offset) / slope
    if reading.linear:
        silence = np.log(np.full((1, 1), spec.floor))
    elif (natural < silence - slack).any():
        return None
    if natural.max() > _loudest(spec):
        return None
    low, high = np.quantile(natural, [0.01, 0.995])
    decibels = float(high - low) * _DECIBEL
    if not _RANGE[0] < decibels < _RANGE[1]:
        return None
    penalty = max(0.0, _USUAL[0] - decibels, decibels - _USUAL[1]) / 10
    penalty += max(0.0, abs(float(high) - (_loudest(spec) - 4.0)) - 2.0)
    return penalty + _floor_penalty(natural, silence)


def _loudest(spec: MelSpec) -> float:
    """Natural logarithm of full-scale sound in the loudest band."""
    basis = mel_filterbank(spec)
    return float(np.log(basis.max(axis=1).max() * spec.win_length / 2)) + 1.0


def _floor_penalty(natural: npt.NDArray[np.float64], silence: npt.NDArray[np.float64]) -> float:
    """Penalty of many equal lowest values that are not the floor of this convention."""
    pile = natural <= natural.min() + 1e-3
    if pile.mean() < 2e-3:
        return 0.0
    at_floor = (np.abs(natural - silence) < 2e-3)[pile].mean()
    return 0.0 if at_floor > 0.5 else 3.0


def _values(diagnosis: Diagnosis, reading: MelReading, square: bool) -> None:
    values = reading.values
    diagnosis.add(
        "layout",
        f"{reading.layout}, {reading.bands} bands, {values.shape[1]} frames",
        "low" if square else "high",
        f"change along frames is {roughness(values):.2f} of that along bands",
    )
    diagnosis.add(
        "values",
        f"{values.min():.3f}..{values.max():.3f}, mean {values.mean():.3f}, "
        f"deviation {values.std():.3f}",
    )
    pile = float((values <= values.min() + 1e-4).mean())
    if pile > 2e-3:
        bases = {
            name: math.exp(values.min() / factor)
            for name, factor in LOG_UNIT.items()
            if abs(values.min() / factor) < 40
        }
        tens = {n: v for n, v in bases.items() if abs(math.log10(v) - round(math.log10(v))) < 0.01}
        diagnosis.add(
            "floor",
            f"{values.min():.4f}" + "".join(f", {n} of {v:.0e}" for n, v in tens.items()),
            "high" if len(tens) == 1 else "medium",
            f"{100 * pile:.1f} % of the values lie on it",
        )
    for where, constant in (("first", reading.before), ("last", reading.after)):
        if constant:
            level = (constant[-1] - values.min()) / max(float(np.ptp(values)), 1e-9)
            diagnosis.add(
                "padding",
                f"the {where} {len(constant)} frame(s) are {constant[-1]:g} throughout"
                + (": loud, 0.0 is not silence in a log-mel" if level > 0.3 else ""),
                "medium",
            )


def _likely_scale(
    diagnosis: Diagnosis, reading: MelReading, likely: list[LikelyConvention]
) -> None:
    logs = sorted({one.spec.log for one in likely if one.penalty <= likely[0].penalty + 1})
    if reading.linear:
        diagnosis.add("scale", "linear magnitudes, no logarithm was taken", "medium")
    elif is_standardized(reading.values):
        diagnosis.add(
            "normalisation",
            "per band, to a mean of 0 and a deviation of 1: (x - mean) / scale",
            "medium",
            "the base of the logarithm is not in such values",
        )
    else:
        diagnosis.add("scale", " or ".join(logs), "medium" if len(logs) == 1 else "low")
