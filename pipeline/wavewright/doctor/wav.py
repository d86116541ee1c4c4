"""Diagnosis of a recording: its format, bandwidth and levels, and the presets that suit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavewright.audio.files import Wav, load_wav
from wavewright.doctor.diagnosis import Diagnosis
from wavewright.doctor.identify import preset_groups
from wavewright.errors import WavewrightError

_FRAME = 1024
_AUDIBLE = 40.0  # dB below the loudest frame; quieter frames at the ends are silence


def diagnose(path: Path) -> Diagnosis:
    """Measure a recording: rate, channels, bandwidth, level, clipping, offset, silence, dither.

    Raises:
        WavewrightError: the file is missing or not readable as audio.
    """
    import soundfile

    wav, rate = load_wav(path)
    about = soundfile.info(path)
    if len(wav) < _FRAME:
        raise WavewrightError(f"{path}: {len(wav)} samples are too few to measure, need {_FRAME}")
    diagnosis = Diagnosis("", confidence="high")
    diagnosis.add(
        "file",
        f"{rate} Hz, {about.channels} channel(s), {about.subtype}, {len(wav) / rate:.2f} s",
        evidence="" if about.channels == 1 else "the first channel is measured",
    )
    peak = float(np.abs(wav).max())
    if peak == 0.0:
        diagnosis.verdict = f"{path}: digital silence throughout."
        diagnosis.confidence = "high"
        return diagnosis
    width = bandwidth(wav, rate)
    diagnosis.add("bandwidth", f"{width:.0f} Hz of {rate / 2:.0f} Hz", "medium")
    _levels(diagnosis, wav, rate, peak)
    _samples(diagnosis, wav, peak, about.subtype)
    fit: list[str] = []
    limited: list[str] = []
    for names, spec in preset_groups():
        if spec.sample_rate == rate:
            (fit if spec.fmax <= width * 1.1 else limited).append(" = ".join(names))
    diagnosis.names = fit
    diagnosis.add("presets", ", ".join(fit) or "none of this sample rate")
    if limited:
        diagnosis.add(
            "beyond", f"{', '.join(limited)}: their bands go above {width:.0f} Hz", "medium"
        )
    diagnosis.verdict = f"{path}: suits {len(fit)} convention(s) of {rate} Hz as it is."
    if not fit and not limited:
        rates = sorted({spec.sample_rate for _, spec in preset_groups()})
        diagnosis.mend = [f"resample to one of {', '.join(map(str, rates))} Hz"]
    return diagnosis


def bandwidth(wav: Wav, rate: int) -> float:
    """Highest frequency in Hz that is less than 70 dB below the strongest, in loud frames."""
    frames = _frames(wav)
    energy = (frames**2).sum(axis=1)
    loud = frames[energy >= np.quantile(energy, 0.5)]
    power = (np.abs(np.fft.rfft(loud * np.hanning(_FRAME), axis=1)) ** 2).mean(axis=0)
    smooth = np.convolve(power, np.ones(5) / 5, mode="same")
    above = np.flatnonzero(smooth > smooth.max() * 1e-7)
    return float(above[-1] * rate / _FRAME)


def _frames(wav: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    count = len(wav) // _FRAME
    return wav[: count * _FRAME].reshape(count, _FRAME)


def _levels(diagnosis: Diagnosis, wav: Wav, rate: int, peak: float) -> None:
    root = np.sqrt(np.maximum((_frames(wav).astype(np.float64) ** 2).mean(axis=1), 1e-12))
    level = 20 * np.log10(root)
    active = level > level.max() - _AUDIBLE
    speech = 20 * np.log10(np.sqrt((root[active] ** 2).mean()))
    diagnosis.add("level", f"{speech:.1f} dBFS where active, peak {20 * np.log10(peak):.1f} dBFS")
    audible = np.flatnonzero(level > level.max() - _AUDIBLE)
    first, last = audible[0] * _FRAME / rate, (len(level) - 1 - audible[-1]) * _FRAME / rate
    diagnosis.add("silence", f"{first:.2f} s before, {last:.2f} s after the speech", "medium")


def _samples(diagnosis: Diagnosis, wav: Wav, peak: float, subtype: str) -> None:
    at_peak = np.abs(wav) >= peak * (1 - 1e-6)
    runs = at_peak[:-2] & at_peak[1:-1] & at_peak[2:]
    clipped = int(runs.sum()) and int(at_peak.sum())
    diagnosis.add("clipping", f"{clipped} samples in flat peaks" if clipped else "none")
    offset = float(wav.mean(dtype=np.float64))
    diagnosis.add("DC offset", f"{offset:+.5f}" if abs(offset) > 1e-5 else "none")
    zero = float((wav == 0).mean())
    still = (wav[:-15] == 0) & (np.convolve(wav != 0, np.ones(16), mode="valid") == 0)
    if still.any():
        diagnosis.add(
            "digital silence",
            f"{int(still.sum())} samples begin 16 zeros: silence without dither",
        )
    else:
        diagnosis.add("digital silence", "none", evidence=f"{100 * zero:.1f} % zeros, {subtype}")
