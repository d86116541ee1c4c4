"""Named mel conventions of the field, as fields of a MelSpec.

Values are those of the systems' own configurations and code; where a system does more than a mel
(NeMo overwrites the last frame of a batch, ESPnet's statistics are undone before the vocoder),
its adapter does that.
"""

from __future__ import annotations

from typing import Any

_LJ = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "win_length": 1024, "n_mels": 80}
_HIFIGAN = {**_LJ, "fmax": 8000.0, "magnitude_eps": 1e-9, "framing": "hop"}
_PWG = {
    **_LJ,
    "fmin": 80.0,
    "fmax": 7600.0,
    "log": "log10",
    "floor": 1e-10,
    "layout": "frames_first",
}
_ESPNET = {**_PWG, "magnitude_eps": 1e-10, "magnitude_guard": "clamp"}
_R9Y9 = {**_PWG, "fmin": 125.0, "layout": "bands_first"}
_24K = {"sample_rate": 24000, "n_fft": 2048, "hop_length": 300, "win_length": 1200}
_44K = {"sample_rate": 44100, "n_fft": 2048, "hop_length": 512, "win_length": 2048, "n_mels": 80}
_NEMO = {"window_periodic": False, "pad_mode": "constant"}
_NEMO_HIFIGAN = {**_NEMO, "framing": "hop"}
_NEMO_FASTPITCH = {**_NEMO, "guard": "add"}
_WAVERNN = {
    **_LJ,
    "n_fft": 2048,
    "hop_length": 275,
    "win_length": 1100,
    "fmin": 40.0,
    "fmax": 11025.0,
    "log": "db",
    "normalisation": {"kind": "range", "scale": 0.01, "shift": 1.0, "low": 0.0, "high": 1.0},
}

PRESETS: dict[str, dict[str, Any]] = {
    "hifigan": _HIFIGAN,
    "hifigan-loss": {**_HIFIGAN, "fmax": None},
    "tacotron2": {**_LJ, "fmax": 8000.0},
    "melgan": {**_LJ, "fmax": None, "log": "log10", "framing": "hop"},
    "bigvgan-22k": _HIFIGAN,
    "bigvgan-24k": {**_HIFIGAN, "sample_rate": 24000, "n_mels": 100, "fmax": 12000.0},
    "matcha": _HIFIGAN,
    # What Matcha-TTS computes with; it undoes the statistics before the vocoder.
    "matcha-normalised": {
        **_HIFIGAN,
        "normalisation": {"kind": "statistics", "mean": [-5.536622], "scale": [2.116101]},
    },
    "vocos-24k": {
        **_LJ,
        "sample_rate": 24000,
        "n_mels": 100,
        "fmax": 12000.0,
        "mel_scale": "htk",
        "mel_norm": None,
        "floor": 1e-7,
    },
    # librosa pads by zeros since 0.10 and reflected before: the second is what published
    # checkpoints were trained on.
    "wavernn": {**_WAVERNN, "pad_mode": "constant"},
    "wavernn-reflect": _WAVERNN,
    "r9y9": {
        **_R9Y9,
        "wav_steps": [{"step": "highpass", "cutoff": 70.0, "taps": 255}],
        "target_steps": [
            {"step": "preemphasis", "coefficient": 0.85},
            {"step": "gain", "factor": 0.55},
        ],
    },
    "r9y9-plain": _R9Y9,
    "espnet": _ESPNET,
    "espnet-24k": {**_ESPNET, **_24K},
    "parallel-wavegan": _PWG,
    "parallel-wavegan-24k": {**_PWG, **_24K},
    "speecht5": {**_PWG, "sample_rate": 16000},
    "speechbrain": {**_LJ, "fmax": 8000.0},
    "coqui": {
        **_LJ,
        "fmax": None,
        "log": "db",
        "floor": 1e-8,
        "normalisation": {"kind": "range", "scale": 0.08, "shift": 2.4, "low": -4.0, "high": 4.0},
    },
    "nemo-hifigan-22k": {**_LJ, **_NEMO_HIFIGAN, "fmax": 8000.0},
    "nemo-hifigan-44k": {**_44K, **_NEMO_HIFIGAN, "fmax": None},
    "nemo-fastpitch-22k": {**_LJ, **_NEMO_FASTPITCH, "fmax": 8000.0},
    "nemo-fastpitch-44k": {**_44K, **_NEMO_FASTPITCH, "fmax": None},
    "nemo2-tacotron2-22k": {**_LJ, **_NEMO_HIFIGAN, "fmax": 8000.0},
    "nemo2-waveglow-22k": {**_LJ, **_NEMO, "fmax": 8000.0},
}
