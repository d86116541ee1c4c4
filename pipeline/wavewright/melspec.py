"""MelSpec: the frozen value that says everything about a mel spectrogram.

It travels in every feature shard, checkpoint and exported file, and every border compares it.
This module loads no torch, so that recipes can be read and checked in a moment.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavewright.errors import MelMismatch, UnknownName, nearest

_HINTS = {  # what other toolkits call our fields
    "hop_size": "hop_length",
    "n_shift": "hop_length",
    "win_size": "win_length",
    "num_mels": "n_mels",
    "sampling_rate": "sample_rate",
    "fs": "sample_rate",
    "filter_length": "n_fft",
    "fft_size": "n_fft",
    "mel_fmin": "fmin",
    "mel_fmax": "fmax",
}


class RangeNormalisation(BaseModel):
    """`clip(log_mel * scale + shift, low, high)`, as fatchord's WaveRNN and Coqui store mels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(gt=0)
    shift: float
    low: float
    high: float


class MelSpec(BaseModel):
    """A mel convention, complete.

    Frame i of a mel owns the samples [i * hop_length, (i + 1) * hop_length). `framing` says where
    its window sits: `hop` centres it on the middle of that block (HiFi-GAN: N // hop_length
    frames), `center` on its first sample (librosa, NVIDIA: 1 + N // hop_length frames).

    `fmax: null` means half the sample rate. `log` is `ln`, `log10` or `db` (20 log10). `floor`
    is applied to the mel amplitude before the logarithm, by `guard`: `clamp` (max) or `add`.
    `magnitude_eps` is applied to the power spectrum before its root, by `magnitude_guard`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sample_rate: int = Field(gt=0)
    n_fft: int = Field(gt=1)
    hop_length: int = Field(gt=0)
    win_length: int = Field(gt=1)
    window: Literal["hann"] = "hann"
    window_periodic: bool = True
    n_mels: int = Field(gt=0)
    fmin: float = Field(default=0.0, ge=0)
    fmax: float = Field(gt=0)
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney"] | None = "slaney"
    power: Literal[1, 2] = 1
    log: Literal["ln", "log10", "db"] = "ln"
    floor: float = Field(default=1e-5, gt=0)
    guard: Literal["clamp", "add"] = "clamp"
    magnitude_eps: float = Field(default=0.0, ge=0)
    magnitude_guard: Literal["add", "clamp"] = "add"
    framing: Literal["center", "hop"] = "center"
    pad_mode: Literal["reflect", "constant"] = "reflect"
    normalisation: RangeNormalisation | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_and_hint(cls, data: Any) -> Any:
        """Expand `preset: NAME` plus overrides, resolve `fmax: null`, explain rival names."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if "preset" in data:
            data = {**_preset_fields(data.pop("preset")), **data}
        for rival, ours in _HINTS.items():
            if rival in data:
                raise ValueError(f"'{rival}' is called '{ours}' here")
        if data.get("fmax") is None and "sample_rate" in data:
            data["fmax"] = data["sample_rate"] / 2
        data.setdefault("win_length", data.get("n_fft"))
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        if self.hop_length > self.win_length:
            raise ValueError(
                f"hop_length {self.hop_length} exceeds win_length {self.win_length}: "
                "samples between windows would be lost"
            )
        if not self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(
                f"need fmin < fmax <= sample_rate / 2, found {self.fmin:g}, {self.fmax:g} "
                f"and {self.sample_rate / 2:g}"
            )
        if self.framing == "center" and self.n_fft % 2:
            raise ValueError(f"framing 'center' needs n_fft even, found {self.n_fft}")
        if self.framing == "hop" and (self.n_fft - self.hop_length) % 2:
            raise ValueError(
                f"framing 'hop' needs n_fft - hop_length even, found {self.n_fft} and "
                f"{self.hop_length}"
            )
        return self

    @classmethod
    def preset(cls, name: str) -> Self:
        """The named convention, such as `hifigan` or `tacotron2` (see `MelSpec.presets()`).

        Raises:
            UnknownName: listing the known ones.
        """
        return cls.model_validate(_preset_fields(name))

    @staticmethod
    def presets() -> tuple[str, ...]:
        """Names that `preset` knows."""
        return tuple(sorted(_PRESETS))

    def frames(self, n_samples: int) -> int:
        """Number of frames of a mel of `n_samples` samples."""
        return n_samples // self.hop_length + (self.framing == "center")

    @property
    def edge(self) -> int:
        """Samples of padding put before and after the waveform by this framing."""
        if self.framing == "center":
            return self.n_fft // 2
        return (self.n_fft - self.hop_length) // 2

    @property
    def silence(self) -> float:
        """The value that means silence. Pad with this: 0.0 in a log mel is loud."""
        unit = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / math.log(10)}[self.log]
        value = math.log(self.floor) * unit
        if self.normalisation is None:
            return value
        affine = self.normalisation
        return min(max(value * affine.scale + affine.shift, affine.low), affine.high)

    @property
    def fingerprint(self) -> str:
        """Digest that is the same on every machine; fields at their default do not enter it,
        so a field added later leaves older fingerprints valid."""
        return hashlib.sha256(json.dumps(self.essentials(), sort_keys=True).encode()).hexdigest()[
            :16
        ]

    def essentials(self) -> dict[str, Any]:
        """Fields that are not at their default; `MelSpec(**these)` is this spec again."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def differences(self, other: MelSpec) -> dict[str, tuple[Any, Any]]:
        """Fields that differ: name -> (value here, value there)."""
        return {
            name: (getattr(self, name), getattr(other, name))
            for name in type(self).model_fields
            if getattr(self, name) != getattr(other, name)
        }

    def require_equal(self, other: MelSpec, *, mine: str, theirs: str) -> None:
        """Raise MelMismatch, naming every differing field, unless both specs are equal.

        Args:
            other: the spec on the other side of the border.
            mine: what carries this spec, in words ("the mels in DIR").
            theirs: what carries the other.
        """
        differing = self.differences(other)
        if not differing:
            return
        listed = ", ".join(f"{name} {a} vs {b}" for name, (a, b) in differing.items())
        advice = "Recompute one side with the other's settings"
        if set(differing) == {"framing"}:
            advice = "Frames sit half a hop apart, so one side must be recomputed or retrained"
        raise MelMismatch(f"mel mismatch between {mine} and {theirs}: {listed}. {advice}.")


_LJ = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "win_length": 1024, "n_mels": 80}
_HIFIGAN = {**_LJ, "fmax": 8000.0, "magnitude_eps": 1e-9, "framing": "hop"}
_ESPNET = {
    **_LJ,
    "fmin": 80.0,
    "fmax": 7600.0,
    "log": "log10",
    "floor": 1e-10,
    "magnitude_eps": 1e-10,
    "magnitude_guard": "clamp",
}
_PWG = {**_LJ, "fmin": 80.0, "fmax": 7600.0, "log": "log10", "floor": 1e-10}
_24K = {"sample_rate": 24000, "n_fft": 2048, "hop_length": 300, "win_length": 1200}
_44K = {"sample_rate": 44100, "n_fft": 2048, "hop_length": 512, "win_length": 2048}
_NEMO = {"window_periodic": False, "pad_mode": "constant"}
_NEMO_HIFIGAN = {**_NEMO, "framing": "hop"}
_NEMO_FASTPITCH = {**_NEMO, "guard": "add"}

_PRESETS: dict[str, dict[str, Any]] = {
    "hifigan": _HIFIGAN,
    "hifigan-loss": {**_HIFIGAN, "fmax": None},
    "tacotron2": {**_LJ, "fmax": 8000.0},
    "melgan": {**_LJ, "fmax": None, "log": "log10", "framing": "hop"},
    "bigvgan-22k": _HIFIGAN,
    "bigvgan-24k": {**_HIFIGAN, "sample_rate": 24000, "n_mels": 100, "fmax": 12000.0},
    "vocos-24k": {
        **_LJ,
        "sample_rate": 24000,
        "n_mels": 100,
        "fmax": 12000.0,
        "mel_scale": "htk",
        "mel_norm": None,
        "floor": 1e-7,
    },
    "wavernn": {
        **_LJ,
        "n_fft": 2048,
        "hop_length": 275,
        "win_length": 1100,
        "fmin": 40.0,
        "fmax": 11025.0,
        "log": "db",
        "pad_mode": "constant",
        "normalisation": {"scale": 0.01, "shift": 1.0, "low": 0.0, "high": 1.0},
    },
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
        "normalisation": {"scale": 0.08, "shift": 2.4, "low": -4.0, "high": 4.0},
    },
    "nemo-hifigan-22k": {**_LJ, **_NEMO_HIFIGAN, "fmax": 8000.0},
    "nemo-hifigan-44k": {**_44K, "n_mels": 80, **_NEMO_HIFIGAN, "fmax": None},
    "nemo-fastpitch-22k": {**_LJ, **_NEMO_FASTPITCH, "fmax": 8000.0},
    "nemo-fastpitch-44k": {**_44K, "n_mels": 80, **_NEMO_FASTPITCH, "fmax": None},
}


def _preset_fields(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _PRESETS:
        raise UnknownName(
            f"unknown mel preset '{name}'.{nearest(str(name), _PRESETS)} "
            f"Known: {', '.join(sorted(_PRESETS))}."
        )
    return dict(_PRESETS[name])
