"""Diagnosis of a mel together with its recording."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wavewright.doctor.diagnosis import Confidence, Diagnosis, join_or
from wavewright.doctor.fit import ROUNDING, Fit, Recording, recording_mel, value_spec
from wavewright.doctor.identify import FITS, Explanation, differing_fields, identify, log_base
from wavewright.mel.spec import MelSpec

_SURE = 2e-3
_SAME_RECORDING = 0.6  # correlation that unrelated speech does not reach


def diagnose(
    array: npt.NDArray[np.floating],
    recording: Recording,
    extra: dict[str, MelSpec] | None = None,
) -> tuple[Diagnosis, Explanation | None]:
    """Diagnose the convention of a mel of a recording, with the measurements."""
    explanation = identify(array, recording, extra)
    if explanation is None:
        return Diagnosis(
            f"The mel of shape {array.shape} cannot be compared with this recording.",
            confidence="low",
            fits=False,
            mend=["take the mel from the waveform again, ww.log_mel(wav, spec)"],
        ), None
    fit = explanation.fit
    if fit.residual > FITS:
        return _unexplained(explanation), explanation
    names = [name for group in explanation.groups for name in group]
    sure: Confidence = "high" if fit.residual < _SURE else "medium"
    if len(explanation.groups) > 1 and not explanation.variant:
        sure = "medium"
    if explanation.variant and fit.residual > 5 * ROUNDING:
        sure = "low" if fit.residual > _SURE else "medium"
    diagnosis = Diagnosis(_verdict(explanation), names, sure, fits=True)
    if explanation.variant:
        preset = value_spec((extra or {}).get(names[0]) or MelSpec.preset(names[0]))
        diagnosis.differences = {
            name: [str(mine), str(its)]
            for name, (mine, its) in differing_fields(fit.spec, preset).items()
        }
        if sure == "low":
            diagnosis.decide = "the configuration that the mel was made with"
    elif len(explanation.groups) > 1:
        diagnosis.decide = _deciding(explanation, extra or {})
    _measured(diagnosis, explanation, recording)
    return diagnosis, explanation


def _verdict(explanation: Explanation) -> str:
    same = [" = ".join(group) for group in explanation.groups]
    if explanation.variant:
        well = (
            "this is explained" if explanation.fit.residual < _SURE else "this nearly explains it"
        )
        return f"No preset, but {well}: nearest is {join_or(same)}."
    method_text = {
        "own": "",
        "gain": ", of the waveform times a gain",
        "affine": ", with another scale and offset of its values",
        "per band": ", normalised band by band",
    }[explanation.fit.method]
    late = ""
    if explanation.fit.shift:
        half = abs(explanation.fit.shift) == explanation.fit.spec.hop_length // 2
        late = ", its frames half a hop late" if half else ", of a recording cut elsewhere"
    linear = " but for the logarithm, which was not taken" if explanation.reading.linear else ""
    return f"This mel is in the convention {join_or(same)}{method_text}{late}{linear}."


def _unexplained(explanation: Explanation) -> Diagnosis:
    fit = explanation.fit
    if fit.correlation < _SAME_RECORDING:
        verdict = "This mel does not look like one of this recording."
    else:
        verdict = "No known convention explains this mel of this recording."
    diagnosis = Diagnosis(verdict, [n for g in explanation.groups for n in g], "low", fits=False)
    diagnosis.add(
        "nearest",
        fit.spec.fingerprint if not explanation.groups else join_or(explanation.groups[0]),
        "low",
        f"mean difference {fit.residual:.2g} (ln), correlation {fit.correlation:.2f}",
    )
    diagnosis.decide = "the configuration that the mel was made with"
    diagnosis.mend = ["take the mel from the waveform again, ww.log_mel(wav, spec)"]
    return diagnosis


def _deciding(explanation: Explanation, extra: dict[str, MelSpec]) -> str:
    specs = [
        value_spec(extra[group[0]] if group[0] in extra else MelSpec.preset(group[0]))
        for group in explanation.groups
    ]
    fields = sorted({name for spec in specs[1:] for name in differing_fields(specs[0], spec)})
    where = []
    if {"pad_mode"} & set(fields):
        where.append("a mel of the whole file (padding shows at the ends only)")
    if {"floor", "guard", "magnitude_eps", "magnitude_guard"} & set(fields):
        where.append("a recording with digital silence (the floor shows there only)")
    if {"log", "normalisation"} & set(fields):
        where.append("the statistics that it was normalised with")
    if "window_periodic" in fields:
        where.append("a mel stored as float32")
    tail = f"; {' or '.join(where)} would show it" if where else ""
    return f"they differ in {', '.join(fields)}, which this pair does not show{tail}"


def _measured(diagnosis: Diagnosis, explanation: Explanation, recording: Recording) -> None:
    fit, reading = explanation.fit, explanation.reading
    spec = fit.spec
    diagnosis.add(
        "match",
        f"mean difference {fit.residual:.1e} (ln)",
        diagnosis.confidence,
        f"{fit.overlap} frames compared, correlation {fit.correlation:.4f}",
    )
    diagnosis.add("layout", f"{reading.layout}, {reading.bands} bands")
    if reading.linear:
        diagnosis.add("scale", "linear magnitudes, no logarithm was taken")
        diagnosis.fits = False
        diagnosis.mend.append(f"take the {spec.log} of max(mel, {spec.floor:g})")
    else:
        diagnosis.add("scale", f"{spec.log}, floor {spec.floor:g} ({spec.guard})")
    diagnosis.add(
        "analysis",
        f"{spec.sample_rate} Hz, n_fft {spec.n_fft}, hop {spec.hop_length}, window "
        f"{spec.win_length}, {spec.fmin:g}..{spec.fmax:g} Hz {spec.mel_scale}, framing "
        f"{spec.framing}",
    )
    if recording.rate != spec.sample_rate:
        diagnosis.add("sample rate", f"the recording's {recording.rate} Hz was resampled")
    _normalised(diagnosis, fit)
    if fit.lag or fit.shift:
        late = fit.lag + fit.shift / spec.hop_length
        diagnosis.add(
            "offset", f"its first frame is frame {late:g} of the recording", diagnosis.confidence
        )
        if fit.shift:
            start = fit.lag * spec.hop_length + fit.shift
            diagnosis.fits = False
            diagnosis.mend.append(
                f"its frames lie between those of this recording: pair it with the recording from "
                f"sample {start} (at {spec.sample_rate} Hz) on, or take the mel from the waveform "
                "again, ww.log_mel(wav, spec)"
            )
    _ends(diagnosis, explanation, recording)


def _normalised(diagnosis: Diagnosis, fit: Fit) -> None:
    if fit.method == "gain":
        decibels = 20 * math.log10(fit.gain)
        diagnosis.add("gain", f"the waveform was {decibels:+.2f} dB (times {fit.gain:.4f})")
    elif fit.method == "affine":
        slope, offset = fit.slope[0], fit.offset[0]
        base = log_base(fit)
        diagnosis.add(
            "normalisation",
            f"log base {base}" if base else f"value = {slope:.4g} * ln(mel) {offset:+.4g}",
        )
    elif fit.method == "per band":
        diagnosis.add(
            "normalisation",
            "per band, (x - mean) / scale; undone with the statistics it was made with",
            evidence="a line per band was fitted, so the base of the logarithm is not knowable",
        )
    else:
        diagnosis.add("normalisation", str(fit.spec.normalisation or "none"))


def _ends(diagnosis: Diagnosis, explanation: Explanation, recording: Recording) -> None:
    """Report constant frames at the ends that are loud, or where the recording has sound."""
    fit, reading = explanation.fit, explanation.reading
    spec = fit.spec
    silence = float(np.mean(spec.silence)) if fit.method in ("own", "gain") else None
    expected = recording_mel(spec, recording, fit.gain, fit.shift)
    last = fit.lag + reading.values.shape[1]
    for where, values, start in (
        ("first", reading.before, fit.lag - len(reading.before)),
        ("last", reading.after, last),
    ):
        if not values:
            continue
        loud = silence is not None and values[-1] > silence + 1
        here = expected[:, max(start, 0) : max(start + len(values), 0)]
        has_sound = here.size > 0 and float(np.abs(here - math.log(spec.floor)).max()) > 1
        if not loud and not has_sound:
            continue
        note = f"the {where} {len(values)} frame(s) are {values[-1]:g} throughout"
        if has_sound:
            note += ", where the recording goes on: they were overwritten (NeMo does that to one)"
        if loud:
            note += f"; silence is {silence:.2f}, so they are loud"
        diagnosis.add("padding", note)
        if loud:
            diagnosis.fits = False
            diagnosis.mend.append(
                f"cut the {where} {len(values)} frame(s), or pad with silence, "
                "wavewright.mel.transform.silent_mel(spec, frames)"
            )
