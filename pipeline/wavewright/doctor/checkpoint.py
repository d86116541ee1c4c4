"""Comparison of a mel or a recording with a checkpoint, or with a preset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wavewright.doctor.diagnosis import Diagnosis, join_or
from wavewright.doctor.fit import value_spec
from wavewright.doctor.identify import Explanation, differing_fields, preset_groups
from wavewright.doctor.mel_alone import LikelyConvention
from wavewright.errors import MelMismatch
from wavewright.mel.spec import MelSpec, format_differences


@dataclass(frozen=True)
class Target:
    """Convention that a mel must fit: a checkpoint's, or a preset."""

    spec: MelSpec
    words: str
    checkpoint: Path | None = None
    name: str = "the checkpoint"


def open_target(checkpoint: Path | None, mel_preset: str) -> Target | None:
    """Open the convention to compare with; the checkpoint's if both are given.

    Raises:
        WavewrightError: no such checkpoint or preset.
    """
    if checkpoint is not None:
        return Target(_spec_of(checkpoint), f"the checkpoint {checkpoint}", checkpoint)
    if mel_preset:
        return Target(MelSpec.preset(mel_preset), f"the convention {mel_preset}", name=mel_preset)
    return None


def _spec_of(checkpoint: Path) -> MelSpec:
    from wavewright.checkpoints.checkpoint import load_model
    from wavewright.errors import WavewrightError
    from wavewright.inference.vocode import open_vocoder

    if not checkpoint.exists():
        return open_vocoder(checkpoint).mel_spec
    model = load_model(checkpoint)
    spec = getattr(model, "mel_spec", None)
    if not isinstance(spec, MelSpec):
        raise WavewrightError(f"{checkpoint}: the model '{model.name}' is not driven by mels")
    return spec


def describe(target: Target) -> Diagnosis:
    """Diagnose a target: its preset, or the nearest one with the differences."""
    spec = value_spec(target.spec)
    distances = [
        (len(differing_fields(spec, other)) + 2 * (spec.n_mels != other.n_mels), names, other)
        for names, other in preset_groups()
    ]
    _, names, other = min(distances, key=lambda item: item[0])
    differing = differing_fields(spec, other)
    same = " = ".join(names)
    diagnosis = Diagnosis(
        f"{target.words} speaks {same}." if not differing
        else f"{target.words} speaks no preset; nearest is {same}.",
        names,
        differences={field: [str(a), str(b)] for field, (a, b) in differing.items()},
    )  # fmt: skip
    diagnosis.add(
        "analysis",
        f"{spec.sample_rate} Hz, n_fft {spec.n_fft}, hop {spec.hop_length}, window "
        f"{spec.win_length}, {spec.n_mels} bands, {spec.fmin:g}..{spec.fmax:g} Hz "
        f"{spec.mel_scale}, framing {spec.framing}, {spec.log}, floor {spec.floor:g}",
    )
    diagnosis.add("fingerprint", spec.fingerprint)
    return diagnosis


def compare(
    diagnosis: Diagnosis, explanation: Explanation, target: Target, mel: Path, wav: Path
) -> None:
    """Add to `diagnosis` if the identified mel fits the target, and how to convert it."""
    target_spec = value_spec(target.spec)
    preset_specs = [other for names, other in preset_groups() if set(names) & set(diagnosis.names)]
    spec = value_spec(explanation.fit.spec)
    fit = explanation.fit
    as_it_is = fit.method in ("own", "gain") and not (fit.shift or explanation.reading.linear)
    equal = as_it_is and (
        not differing_fields(spec, target_spec)
        or (
            not explanation.variant
            and any(not differing_fields(other, target_spec) for other in preset_specs)
        )
        or target.name in diagnosis.names
    )
    layout_option = _layout_option(explanation.reading.layout)
    if equal:
        diagnosis.add("compared", f"fits {target.words}")
        diagnosis.mend += (
            [f"vocode it with --layout {explanation.reading.layout}"] if layout_option else []
        )
        return
    diagnosis.fits = False
    differing = differing_fields(spec, target_spec)
    diagnosis.add(
        "compared",
        f"does not fit {target.words}"
        + (f": {format_differences(differing)}" if differing else "; not as it is, see above"),
    )
    where = str(target.checkpoint or "CHECKPOINT")
    if as_it_is and not explanation.variant and _convertible(spec, target_spec):
        diagnosis.mend.append(
            f"wavewright vocode --checkpoint {where} --mel {mel} --mel-preset {diagnosis.names[0]} "
            f"--out OUT.wav{layout_option}"
        )
        return
    diagnosis.mend.append(
        f"the mel cannot be converted: recompute it from {wav}, ww.log_mel(wav, spec), or try the "
        f"vocoder on the recording: wavewright copy --checkpoint {where} --wav {wav} --out OUT.wav"
    )


def compare_values(
    diagnosis: Diagnosis, likely: list[LikelyConvention], target: Target, mel: Path, layout: str
) -> None:
    """Add to `diagnosis` if the values alone could be in the target's convention."""
    target_spec = value_spec(target.spec)
    if any(not differing_fields(one.spec, target_spec) and not one.statistics for one in likely):
        near = next(one for one in likely if not differing_fields(one.spec, target_spec))
        if near.penalty <= likely[0].penalty + 1.0:
            diagnosis.fits = True
            diagnosis.add("compared", f"its values could be those of {target.words}", "medium")
            layout_option = _layout_option(layout)
            diagnosis.mend += [f"vocode it with --layout {layout}"] if layout_option else []
            return
    diagnosis.fits = False
    diagnosis.add("compared", f"its values do not look like those of {target.words}", "medium")
    where = str(target.checkpoint or "CHECKPOINT")
    convertible = [
        name
        for one in likely
        if not one.statistics and _convertible(one.spec, target_spec)
        for name in one.names
        if name != target.name
    ]
    if convertible:
        diagnosis.mend.append(
            f"if it is {join_or(convertible)}: wavewright vocode --checkpoint {where} --mel {mel} "
            f"--mel-preset {convertible[0]} --out OUT.wav{_layout_option(layout)}"
        )
    else:
        diagnosis.mend.append("recompute the mel from its recording, ww.log_mel(wav, spec)")


def compare_preset(diagnosis: Diagnosis, target: Target, mel_preset: str) -> None:
    """Add to `diagnosis` if mels of a preset fit the checkpoint."""
    source, target_spec = value_spec(MelSpec.preset(mel_preset)), value_spec(target.spec)
    differing = differing_fields(source, target_spec)
    command = (
        f"wavewright vocode --checkpoint {target.checkpoint} --mel MEL --mel-preset {mel_preset}"
    )
    if not differing:
        text = f"mels of {mel_preset} fit {target.words} as they are"
    elif _convertible(source, target_spec):
        text = f"mels of {mel_preset} are converted exactly for {target.words}"
        diagnosis.mend.append(f"{command} --out OUT.wav")
    else:
        text = f"mels of {mel_preset} do not fit {target.words}: {format_differences(differing)}"
        diagnosis.mend.append("recompute them from the recordings in the checkpoint's convention")
    if diagnosis.fits is None:
        diagnosis.fits = not differing
    diagnosis.add("mel preset", text)


def _layout_option(layout: str) -> str:
    return "" if layout == "bands_first" else f" --layout {layout}"


def _convertible(source: MelSpec, target_spec: MelSpec) -> bool:
    from wavewright.mel.transform import convert_mel, silent_mel

    try:
        import torch

        convert_mel(torch.from_numpy(silent_mel(source, 1) + 1e-3), source, target_spec)
    except MelMismatch:
        return False
    return True
