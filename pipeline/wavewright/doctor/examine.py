"""The command `doctor`: one diagnosis of a recording, a mel and a checkpoint, any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavewright.audio.files import load_wav
from wavewright.doctor import mel_alone, mel_and_wav, wav
from wavewright.doctor.checkpoint import (
    Target,
    compare,
    compare_preset,
    compare_values,
    describe,
    open_target,
)
from wavewright.doctor.diagnosis import Diagnosis
from wavewright.doctor.fit import Recording
from wavewright.errors import WavewrightError
from wavewright.mel.files import read_array
from wavewright.mel.spec import MelSpec


def examine(
    *,
    recording: Path | None = None,
    mel: Path | None = None,
    checkpoint: Path | None = None,
    mel_preset: str = "",
    key: str = "",
) -> Diagnosis:
    """Diagnose a recording, a mel and a checkpoint, and whether they fit together.

    Args:
        recording: any audio file.
        mel: a file that `mel.files.read_array` reads.
        checkpoint: a checkpoint, or the name of a vocoder that needs no training.
        mel_preset: a preset to compare with; with a checkpoint, the preset of mels for it.
        key: name of the array in the mel's file.

    Raises:
        WavewrightError: nothing was given, or something cannot be read.
    """
    if recording is None and mel is None and checkpoint is None and not mel_preset:
        raise WavewrightError("nothing to examine: give --wav, --mel, --checkpoint or --mel-preset")
    target = open_target(checkpoint, mel_preset)
    diagnosis = _examined(recording, mel, target, key)
    if target is not None and target.checkpoint is not None and mel_preset:
        compare_preset(diagnosis, target, mel_preset)
    return diagnosis


def _examined(
    recording: Path | None, mel: Path | None, target: Target | None, key: str
) -> Diagnosis:
    if mel is not None:
        array = read_array(mel, key)
        if not np.isfinite(array).any():
            raise WavewrightError(f"{mel}: holds nothing but -inf")
        if recording is not None:
            return _pair(array, mel, recording, target)
        return _mel(array, mel, target)
    if recording is not None:
        return _wav(recording, target)
    assert target is not None
    return describe(target)


def _pair(array: np.ndarray, mel: Path, recording: Path, target: Target | None) -> Diagnosis:
    samples, rate = load_wav(recording)
    extra = _extra(target)
    diagnosis, explanation = mel_and_wav.diagnose(array, Recording(samples, rate), extra)
    _lost(diagnosis, array)
    if target is not None and explanation is not None and diagnosis.confidence != "low":
        compare(diagnosis, explanation, target, mel, recording)
    return diagnosis


def _mel(array: np.ndarray, mel: Path, target: Target | None) -> Diagnosis:
    diagnosis, likely = mel_alone.diagnose(array, _extra(target))
    _lost(diagnosis, array)
    if target is not None:
        layout = next((f.found for f in diagnosis.findings if f.what == "layout"), "")
        compare_values(diagnosis, likely, target, mel, layout.partition(",")[0])
    return diagnosis


def _wav(recording: Path, target: Target | None) -> Diagnosis:
    diagnosis = wav.diagnose(recording)
    if target is not None:
        rate = target.spec.sample_rate
        file_rate = int(diagnosis.findings[0].found.split()[0])
        diagnosis.fits = True
        diagnosis.add(
            "compared",
            f"fits {target.words}" if file_rate == rate
            else f"{target.words} is of {rate} Hz; copy and prepare resample to it",
        )  # fmt: skip
    return diagnosis


def _extra(target: Target | None) -> dict[str, MelSpec]:
    return {} if target is None or target.checkpoint is None else {target.name: target.spec}


def _lost(diagnosis: Diagnosis, array: np.ndarray) -> None:
    infinite = int(np.isneginf(array).sum())
    if infinite:
        diagnosis.add("-inf", f"{infinite} values: a logarithm was taken of 0 without a floor")
