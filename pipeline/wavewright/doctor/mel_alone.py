"""What a mel says of its convention without the recording: much of the values, nothing of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.doctor.diagnosis import Diagnosis, listed
from wavewright.doctor.fit import numbers, unit
from wavewright.doctor.identify import groups_of_presets
from wavewright.doctor.readings import Given, readings, roughness
from wavewright.mel.spec import LOG_UNIT, MelSpec, RangeNormalisation, mel_filterbank

_DECIBEL = 20 / math.log(10)
_RANGE = (30.0, 170.0)  # dB between the quietest and loudest cells of recorded speech, generously
_USUAL = (50.0, 110.0)


@dataclass(frozen=True)
class Likely:
    """One convention that the values allow; a smaller penalty is likelier."""

    names: list[str]
    spec: MelSpec
    penalty: float
    statistics: bool = False
    """Not as it is, but normalised per band."""


def diagnose(
    array: npt.NDArray[np.floating], extra: dict[str, MelSpec] | None = None
) -> tuple[Diagnosis, list[Likely]]:
    """Rank the conventions that the values of a mel allow.

    Args:
        array: (rows, columns) of either layout.
        extra: conventions to consider beside the presets.
    """
    made = readings(array)
    groups = groups_of_presets(extra)
    ranked = [(given, _ranked(given, groups)) for given in made]
    held = [(given, likely) for given, likely in ranked if likely]
    if not held:
        return _nothing(array, made), []
    # A square array's layout is not in its shape; frames change less than bands do.
    given, likely = min(held, key=lambda item: (item[0].linear, roughness(item[0].values)))
    square = len({g.layout for g, _ in held}) > 1
    best = [one for one in likely if one.penalty <= likely[0].penalty + 1.0]
    diagnosis = Diagnosis(
        _verdict(given, best),
        [name for one in likely for name in one.names],
        "medium" if len(best) == 1 and not square else "low",
    )
    _values(diagnosis, given, square)
    _likely_scale(diagnosis, given, likely)
    rest = [one for one in likely if one not in best]
    if rest:
        diagnosis.add("also possible", ", ".join(" = ".join(one.names) for one in rest), "low")
    diagnosis.add(
        "not knowable", "hop, framing, sample rate and band are not in the values: ambiguous", "low"
    )
    diagnosis.decide = "the recording: wavewright doctor --mel MEL --wav WAV"
    return diagnosis, likely


def _verdict(given: Given, best: list[Likely]) -> str:
    plain = [" = ".join(one.names) for one in best if not one.statistics]
    if any(one.statistics for one in best):
        tail = f", or is {listed(plain)} as it is" if plain else ""
        return (
            f"This mel of {given.bands} bands is normalised band by band, and may be of any "
            f"convention of so many bands{tail}."
        )
    linear = " but for the logarithm" if given.linear else ""
    return f"By its values this mel is most likely in the convention {listed(plain)}{linear}."


def _nothing(array: npt.NDArray[np.floating], made: list[Given]) -> Diagnosis:
    diagnosis = Diagnosis(
        f"No known convention has such values in the shape {array.shape}.", confidence="low"
    )
    for given in made[:1]:
        _values(diagnosis, given, len(made) > 1)
    diagnosis.decide = "the recording: wavewright doctor --mel MEL --wav WAV"
    return diagnosis


def normalised_by_statistics(values: npt.NDArray[np.float64]) -> bool:
    """Whether bands (n_mels, frames) lie about 0 with a deviation of about 1."""
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    spread = float(np.median(deviation))
    return bool(abs(float(mean.mean())) < 0.7 and 0.5 < spread < 1.6 and float(mean.std()) < 0.6)


def _ranked(given: Given, groups: list[tuple[list[str], MelSpec]]) -> list[Likely]:
    found: list[Likely] = []
    by_statistics = normalised_by_statistics(given.values) and not given.linear
    for names, spec in groups:
        if spec.n_mels != given.bands:
            continue
        if by_statistics and spec.normalisation is None:
            found.append(Likely(names, spec, 1.0, statistics=True))
        elif (penalty := _penalty(given, spec)) is not None:
            found.append(Likely(names, spec, penalty))
    return sorted(found, key=lambda one: one.penalty)


def _penalty(given: Given, spec: MelSpec) -> float | None:
    """How unlikely the values are in `spec`; None where they are impossible."""
    values = given.values
    if given.linear and spec.normalisation is not None:
        return None
    slope, offset = unit(spec) if not given.linear else (np.ones((1, 1)), np.zeros((1, 1)))
    how = spec.normalisation
    slack = 0.02
    if isinstance(how, RangeNormalisation):
        width = how.high - how.low
        if values.min() < how.low - 1e-3 * width or values.max() > how.high + 1e-3 * width:
            return None
        if values.max() < how.low + 0.25 * width:
            return None
    natural = (values - offset) / slope
    silence = (np.array(numbers(spec).silence)[:, None] - offset) / slope
    if given.linear:
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
    """Natural logarithm that full-scale sound reaches in the loudest band."""
    basis = mel_filterbank(spec)
    return float(np.log(basis.max(axis=1).max() * spec.win_length / 2)) + 1.0


def _floor_penalty(natural: npt.NDArray[np.float64], silence: npt.NDArray[np.float64]) -> float:
    """A pile of equal lowest values is the floor: of this convention or of another."""
    pile = natural <= natural.min() + 1e-3
    if pile.mean() < 2e-3:
        return 0.0
    at_floor = (np.abs(natural - silence) < 2e-3)[pile].mean()
    return 0.0 if at_floor > 0.5 else 3.0


def _values(diagnosis: Diagnosis, given: Given, square: bool) -> None:
    values = given.values
    diagnosis.add(
        "layout",
        f"{given.layout}, {given.bands} bands, {values.shape[1]} frames",
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
    for where, constant in (("first", given.before), ("last", given.after)):
        if constant:
            level = (constant[-1] - values.min()) / max(float(np.ptp(values)), 1e-9)
            diagnosis.add(
                "padding",
                f"the {where} {len(constant)} frame(s) are {constant[-1]:g} throughout"
                + (": loud, 0.0 is not silence in a log-mel" if level > 0.3 else ""),
                "medium",
            )


def _likely_scale(diagnosis: Diagnosis, given: Given, likely: list[Likely]) -> None:
    logs = sorted({one.spec.log for one in likely if one.penalty <= likely[0].penalty + 1})
    if given.linear:
        diagnosis.add("scale", "linear magnitudes, no logarithm was taken", "medium")
    elif normalised_by_statistics(given.values):
        diagnosis.add(
            "normalisation",
            "per band, to a mean of 0 and a deviation of 1: (x - mean) / scale",
            "medium",
            "the base of the logarithm is not in such values",
        )
    else:
        diagnosis.add("scale", " or ".join(logs), "medium" if len(logs) == 1 else "low")
