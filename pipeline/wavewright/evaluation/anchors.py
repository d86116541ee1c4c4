"""Anchors: recordings degraded in a known way, which give the numbers of a table a scale.

Source: ITU-R BS.1534-3, whose low anchor is a 3.5 kHz low-pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from wavewright.audio.files import Wav, load_wav, save_wav
from wavewright.errors import UnknownName, did_you_mean
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.results import NATURAL, System, Utterance

_CUTOFF = 3500.0  # Hz
_ORDER = 8
_MU = 255.0


def low_pass(wav: Wav, sample_rate: int) -> Wav:
    """Remove everything above 3.5 kHz from (samples,), with zero phase shift."""
    from scipy.signal import butter, sosfiltfilt

    if sample_rate <= 2.2 * _CUTOFF:
        return wav
    sections = butter(_ORDER, _CUTOFF, fs=sample_rate, output="sos")
    padding = min(len(wav) - 1, 3 * (2 * len(sections) + 1))
    return sosfiltfilt(sections, wav, padlen=max(0, padding)).astype(np.float32)  # type: ignore[no-any-return]


def mu_law(wav: Wav, sample_rate: int) -> Wav:
    """Quantize (samples,) to 256 steps of ITU-T G.711's mu-law curve."""
    squeezed = np.sign(wav) * np.log1p(_MU * np.abs(wav)) / np.log1p(_MU)
    steps = np.round((squeezed + 1) / 2 * _MU) / _MU * 2 - 1
    return (np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU).astype(np.float32)  # type: ignore[no-any-return]


ANCHORS: dict[str, Callable[[Wav, int], Wav]] = {"lowpass-3.5k": low_pass, "mulaw-8bit": mu_law}


def check_anchors(names: Iterable[str]) -> list[str]:
    """Check the names of anchors; drop repetitions.

    Raises:
        UnknownName: no such anchor.
    """
    anchors = list(dict.fromkeys(names))
    for name in anchors:
        if name not in ANCHORS:
            raise UnknownName(
                f"no anchor '{name}'.{did_you_mean(name, list(ANCHORS))} Anchors: "
                f"{', '.join(ANCHORS)}."
            )
    return anchors


def write_anchors(
    folder: Path, utterances: Iterable[Utterance], names: Iterable[str]
) -> list[System]:
    """Write the anchors of every recording into a report's folder, as copy-synthesis."""
    anchors = check_anchors(names)
    for utterance in utterances if anchors else ():
        wav, rate = load_wav(folder / wav_file(NATURAL, "", utterance.id))
        for name in anchors:
            path = folder / wav_file(name, "copy", utterance.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_wav(path, ANCHORS[name](wav, rate), rate)
    return [System(id=name, title=name, kind="anchor") for name in anchors]
