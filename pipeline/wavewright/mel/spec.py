"""MelSpec: the complete, frozen description of a mel spectrogram.

It is stored in every feature shard, checkpoint and exported file, and compared wherever two meet.
This module loads no torch, so that recipes can be read and checked quickly.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from wavewright.audio.filters import WavFilter
from wavewright.errors import MelMismatch, UnknownName, WavewrightError, did_you_mean
from wavewright.mel.presets import PRESETS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOG_UNIT = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / math.log(10)}
"""Factor from a natural logarithm to each unit."""

_HINTS = {  # other toolkits' names of our fields
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
    """Normalisation to a range, `clip(log_mel * scale + shift, low, high)` (fatchord, Coqui)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["range"] = "range"
    scale: float = Field(gt=0)
    shift: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"need low < high, found {self.low:g} and {self.high:g}")
        return self

    def __str__(self) -> str:
        return f"range(x * {self.scale:g} + {self.shift:g}, clipped to {self.low:g}..{self.high:g})"


class StatisticsNormalisation(BaseModel):
    """Normalisation per band, `(log_mel - mean) / scale` (ESPnet, ParallelWaveGAN, r9y9).

    `mean` and `scale` have n_mels values each, or one for all bands.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["statistics"] = "statistics"
    mean: tuple[float, ...] = Field(min_length=1)
    scale: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """Short digest of the values, 12 hexadecimal digits, for messages."""
        return hashlib.sha256(json.dumps([self.mean, self.scale]).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"statistics({len(self.mean)} means and scales, digest {self.digest})"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", "statistics" if "mean" in value else "range"))
    return str(getattr(value, "kind", "range"))


Normalisation = Annotated[
    Annotated[RangeNormalisation, Tag("range")]
    | Annotated[StatisticsNormalisation, Tag("statistics")],
    Discriminator(_kind),
]


class MelSpec(BaseModel):
    """A mel convention, complete.

    Frame i of a mel covers the samples [i * hop_length, (i + 1) * hop_length). `framing` is the
    position of its window: `hop` centres it on the middle of that block (HiFi-GAN: N // hop_length
    frames), `center` on its first sample (librosa, NVIDIA: 1 + N // hop_length frames).

    `fmax: null` means half the sample rate. `log` is `ln`, `log10` or `db` (20 log10). `floor`
    is applied to the mel amplitude before the logarithm, by `guard`: `clamp` (max) or `add`.
    `magnitude_eps` is applied to the power spectrum before its root, by `magnitude_guard`.
    `normalisation` comes after the logarithm.

    `layout` is the order of the axes: `bands_first` (..., n_mels, frames), which is what models,
    shards and recipes hold, or `frames_first` (..., frames, n_mels), which is how ESPnet,
    ParallelWaveGAN and transformers pass mels around.

    `wav_steps` are applied to the waveform before the mel is taken. `target_steps` are then applied
    to the waveform that a vocoder is trained on, and undone on its output; the mel is unaffected.
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
    normalisation: Normalisation | None = None
    layout: Literal["bands_first", "frames_first"] = "bands_first"
    wav_steps: tuple[WavFilter, ...] = ()
    target_steps: tuple[WavFilter, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_and_hint(cls, data: Any) -> Any:
        """Expand `preset: NAME` plus overrides, resolve `fmax: null`, explain other toolkits' "
        "names."""
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
        if isinstance(self.normalisation, StatisticsNormalisation):
            for name in ("mean", "scale"):
                count = len(getattr(self.normalisation, name))
                if count not in (1, self.n_mels):
                    raise ValueError(
                        f"normalisation.{name} has {count} values, needed are {self.n_mels} "
                        "(n_mels) or one"
                    )
        highest = max((s.cutoff for s in self.wav_steps if s.step == "highpass"), default=0.0)
        if highest >= self.sample_rate / 2:
            raise ValueError(
                f"wav_steps: the high-pass at {highest:g} Hz leaves nothing below "
                f"{self.sample_rate / 2:g} Hz, half the sample rate"
            )
        if any(step.step == "highpass" for step in self.target_steps):
            raise ValueError(
                "target_steps: a high-pass cannot be undone; it belongs into wav_steps"
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
        """Names of all presets."""
        return tuple(sorted(PRESETS))

    def frames(self, n_samples: int) -> int:
        """Number of frames of a mel of `n_samples` samples."""
        return n_samples // self.hop_length + (self.framing == "center")

    @property
    def padding(self) -> int:
        """Samples of padding put before and after the waveform by this framing."""
        if self.framing == "center":
            return self.n_fft // 2
        return (self.n_fft - self.hop_length) // 2

    @property
    def in_float64(self) -> bool:
        """True if the convention's reference code computes in float64.

        librosa's and NVIDIA's extractors do: frames centred by padding, a periodic window, Slaney's
        scale, bare magnitudes. Those written for torch, which have one or the other different, do
        not, and are reproduced best in float32 too.
        """
        centred = self.framing == "center" and self.window_periodic
        return centred and self.mel_scale == "slaney" and self.magnitude_eps == 0

    @property
    def silence(self) -> tuple[float, ...]:
        """Value of digital silence in each band; pad with this, 0.0 in a log-mel is loud."""
        return _silence(self)

    @property
    def bands_first(self) -> MelSpec:
        """Spec with layout `bands_first`, as models and shards store mels."""
        if self.layout == "bands_first":
            return self
        return self.model_copy(update={"layout": "bands_first"})

    @property
    def fingerprint(self) -> str:
        """Digest that is the same on every machine; fields at their default do not enter it,
        so a field added later leaves older fingerprints valid."""
        return hashlib.sha256(
            json.dumps(self.non_default_fields(), sort_keys=True).encode()
        ).hexdigest()[:16]

    def non_default_fields(self) -> dict[str, Any]:
        """Fields that are not at their default; `MelSpec(**these)` is this spec again."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        for name in {"wav_steps", "target_steps"} & fields.keys():
            fields[name] = [
                {"step": step.step, **step.model_dump(mode="json", exclude_defaults=True)}
                for step in getattr(self, name)
            ]
        return fields

    def differences(self, other: MelSpec) -> dict[str, tuple[Any, Any]]:
        """Fields that differ: name -> (value here, value there)."""
        return {
            name: (getattr(self, name), getattr(other, name))
            for name in type(self).model_fields
            if getattr(self, name) != getattr(other, name)
        }

    def require_equal(self, other: MelSpec, *, mine: str, theirs: str) -> None:
        """Raise MelMismatch, naming every field in which the mels differ, unless there is none.

        `target_steps` are not compared: they leave the mel as it is.

        Args:
            other: the spec on the other side of the border.
            mine: owner of this spec, for the message ("the mels in DIR").
            theirs: owner of the other.
        """
        differing = self.differences(other)
        differing.pop("target_steps", None)
        if differing:
            raise MelMismatch(
                f"mel mismatch between {mine} and {theirs}: {format_differences(differing)}. "
                f"{_advice(set(differing))}."
            )


BandsFirst = Annotated[MelSpec, AfterValidator(lambda spec: spec.bands_first)]
"""A MelSpec field whose holder keeps all mels as (..., n_mels, frames)."""


def format_differences(differing: dict[str, tuple[Any, Any]]) -> str:
    """Format the result of `MelSpec.differences`: `field here vs there, ...`."""
    return ", ".join(f"{name} {_word(a)} vs {_word(b)}" for name, (a, b) in differing.items())


def _word(value: Any) -> str:
    return f"[{'; '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _advice(fields: set[str]) -> str:
    if fields == {"framing"}:
        return "Frames sit half a hop apart, so one side must be recomputed or retrained"
    if fields <= {"log", "normalisation", "layout"}:
        return "These can be converted exactly: ww.convert_mel(mel, source, target)"
    return "Recompute one side with the other's settings"


def require_samples(samples: int, spec: MelSpec) -> None:
    """Raise unless a waveform is long enough for a frame and for the padding by reflection."""
    needed = max(spec.hop_length, spec.padding + 1 if spec.pad_mode == "reflect" else 0)
    if samples < needed:
        raise WavewrightError(
            f"waveform of {samples} samples is too short for a mel of n_fft {spec.n_fft}; "
            f"at least {needed} are needed"
        )


@lru_cache(maxsize=32)
def mel_filterbank(spec: MelSpec) -> npt.NDArray[np.float32]:
    """Filterbank of `spec`: (n_mels, 1 + n_fft // 2) float32."""
    from wavewright.mel.filterbank import triangular_filters

    return triangular_filters(
        spec.sample_rate,
        spec.n_fft,
        spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        scale=spec.mel_scale,
        norm=spec.mel_norm,
    )


@lru_cache(maxsize=32)
def _silence(spec: MelSpec) -> tuple[float, ...]:
    import numpy as np

    magnitude = spec.magnitude_eps if spec.power == 2 else math.sqrt(spec.magnitude_eps)
    amplitude = mel_filterbank(spec).sum(axis=1, dtype=np.float64) * magnitude
    guarded = amplitude + spec.floor if spec.guard == "add" else np.maximum(amplitude, spec.floor)
    values = np.log(guarded) if spec.log == "ln" else np.log10(guarded)
    values *= 20 if spec.log == "db" else 1
    if isinstance(spec.normalisation, RangeNormalisation):
        affine = spec.normalisation
        values = np.clip(values * affine.scale + affine.shift, affine.low, affine.high)
    elif isinstance(spec.normalisation, StatisticsNormalisation):
        values = (values - np.array(spec.normalisation.mean)) / np.array(spec.normalisation.scale)
    return tuple(values.tolist())


def _preset_fields(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise UnknownName(
            f"unknown mel preset '{name}'.{did_you_mean(str(name), PRESETS)} "
            f"Known: {', '.join(sorted(PRESETS))}."
        )
    return dict(PRESETS[name])
