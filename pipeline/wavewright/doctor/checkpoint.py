"""Does a mel or a recording fit a checkpoint, or a convention named by the user?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wavewright.doctor.diagnosis import Diagnosis, listed
from wavewright.doctor.fit import numbers
from wavewright.doctor.identify import Explained, groups_of_presets, told_apart
from wavewright.doctor.mel_alone import Likely
from wavewright.errors import MelMismatch
from wavewright.mel.spec import MelSpec, format_differences


@dataclass(frozen=True)
class Target:
    """What a mel must fit: a checkpoint's convention, or one named with --mel-preset."""

    spec: MelSpec
    words: str
    checkpoint: Path | None = None
    name: str = "the checkpoint"


def open_target(checkpoint: Path | None, like: str) -> Target | None:
    """The convention to compare with; the checkpoint's if both are given.

    Raises:
        WavewrightError: no such checkpoint or preset.
    """
    if checkpoint is not None:
        return Target(_spec_of(checkpoint), f"the checkpoint {checkpoint}", checkpoint)
    if like:
        return Target(MelSpec.preset(like), f"the convention {like}", name=like)
    return None


def _spec_of(checkpoint: Path) -> MelSpec:
    from wavewright.checkpoints.checkpoint import load_model
    from wavewright.errors import WavewrightError
    from wavewright.inference.vocode import open_vocoder

    if not checkpoint.exists():
        return open_vocoder(checkpoint).mel_spec
    model = load_model(checkpoint)
    spec = getattr(model, "mel", None)
    if not isinstance(spec, MelSpec):
        raise WavewrightError(f"{checkpoint}: the model '{model.name}' is not driven by mels")
    return spec


def describe(target: Target) -> Diagnosis:
    """Name the preset that a target is, or the nearest one with the differences."""
    spec = numbers(target.spec)
    counted = [
        (len(told_apart(spec, other)) + 2 * (spec.n_mels != other.n_mels), names, other)
        for names, other in groups_of_presets()
    ]
    _, names, other = min(counted, key=lambda item: item[0])
    differing = told_apart(spec, other)
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


def compare(diagnosis: Diagnosis, found: Explained, target: Target, mel: Path, wav: Path) -> None:
    """Note in `diagnosis` whether the mel that was explained fits the target, and what mends it."""
    wanted = numbers(target.spec)
    known = [other for names, other in groups_of_presets() if set(names) & set(diagnosis.names)]
    spec = numbers(found.fit.spec)
    fit = found.fit
    as_it_is = fit.how in ("own", "gain") and not (fit.shift or found.given.linear)
    equal = as_it_is and (
        not told_apart(spec, wanted)
        or (not found.variant and any(not told_apart(other, wanted) for other in known))
        or target.name in diagnosis.names
    )
    turned = _turned(found.given.layout)
    if equal:
        diagnosis.add("compared", f"fits {target.words}")
        diagnosis.mend += [f"vocode it with --layout {found.given.layout}"] if turned else []
        return
    diagnosis.fits = False
    differing = told_apart(spec, wanted)
    diagnosis.add(
        "compared",
        f"does not fit {target.words}"
        + (f": {format_differences(differing)}" if differing else "; not as it is, see above"),
    )
    where = str(target.checkpoint or "CHECKPOINT")
    if as_it_is and not found.variant and _convertible(spec, wanted):
        diagnosis.mend.append(
            f"wavewright vocode --checkpoint {where} --mel {mel} --mel-preset {diagnosis.names[0]} "
            f"--out OUT.wav{turned}"
        )
        return
    diagnosis.mend.append(
        f"the mel cannot be converted: recompute it from {wav}, ww.log_mel(wav, spec), or try the "
        f"vocoder on the recording: wavewright copy --checkpoint {where} --wav {wav} --out OUT.wav"
    )


def compare_values(
    diagnosis: Diagnosis, likely: list[Likely], target: Target, mel: Path, layout: str
) -> None:
    """The same from the values alone: whether they could be in the target's convention."""
    wanted = numbers(target.spec)
    if any(not told_apart(one.spec, wanted) and not one.statistics for one in likely):
        near = next(one for one in likely if not told_apart(one.spec, wanted))
        if near.penalty <= likely[0].penalty + 1.0:
            diagnosis.fits = True
            diagnosis.add("compared", f"its values could be those of {target.words}", "medium")
            turned = _turned(layout)
            diagnosis.mend += [f"vocode it with --layout {layout}"] if turned else []
            return
    diagnosis.fits = False
    diagnosis.add("compared", f"its values do not look like those of {target.words}", "medium")
    where = str(target.checkpoint or "CHECKPOINT")
    convertible = [
        name
        for one in likely
        if not one.statistics and _convertible(one.spec, wanted)
        for name in one.names
        if name != target.name
    ]
    if convertible:
        diagnosis.mend.append(
            f"if it is {listed(convertible)}: wavewright vocode --checkpoint {where} --mel {mel} "
            f"--mel-preset {convertible[0]} --out OUT.wav{_turned(layout)}"
        )
    else:
        diagnosis.mend.append("recompute the mel from its recording, ww.log_mel(wav, spec)")


def compare_named(diagnosis: Diagnosis, target: Target, like: str) -> None:
    """Note whether mels of the preset `like` can be given to the checkpoint."""
    source, wanted = numbers(MelSpec.preset(like)), numbers(target.spec)
    differing = told_apart(source, wanted)
    command = f"wavewright vocode --checkpoint {target.checkpoint} --mel MEL --mel-preset {like}"
    if not differing:
        found = f"mels of {like} fit {target.words} as they are"
    elif _convertible(source, wanted):
        found = f"mels of {like} are converted exactly for {target.words}"
        diagnosis.mend.append(f"{command} --out OUT.wav")
    else:
        found = f"mels of {like} do not fit {target.words}: {format_differences(differing)}"
        diagnosis.mend.append("recompute them from the recordings in the checkpoint's convention")
    if diagnosis.fits is None:
        diagnosis.fits = not differing
    diagnosis.add("like", found)


def _turned(layout: str) -> str:
    return "" if layout == "bands_first" else f" --layout {layout}"


def _convertible(source: MelSpec, wanted: MelSpec) -> bool:
    from wavewright.mel.transform import convert_mel, silent_mel

    try:
        import torch

        convert_mel(torch.from_numpy(silent_mel(source, 1) + 1e-3), source, wanted)
    except MelMismatch:
        return False
    return True
