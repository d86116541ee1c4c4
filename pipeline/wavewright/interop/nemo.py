"""Vocoders for NeMo, which calls `convert_spectrogram_to_audio(spec=mel)`.

    from wavewright.interop import nemo

    vocoder = nemo.vocoder_for(fastpitch, "hifigan.safetensors")
    wav = vocoder.convert_spectrogram_to_audio(spec=fastpitch.generate_spectrogram(tokens=tokens))

`NemoVocoder` does not need NeMo and is enough for code that only calls it; `nemo_model` makes a
`nemo.collections.tts.models.base.Vocoder` with neural types for code that requires one.

NeMo overwrites the last frame of its features: with 0.0, which is loud, for FastPitch, and with
silence for HiFi-GAN. The former is cut off.

Source: nemo_toolkit 3.0.0, asr/parts/preprocessing/features.py, tts/models (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wavewright.errors import MissingExtra
from wavewright.interop.adapter import (
    ClientVocoder,
    require_no_unknown,
    require_setting,
    unpadded_frames,
)
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel
from wavewright.models.vocoder import Vocoder

#: Defaults of AudioToMelSpectrogramPreprocessor.
_DEFAULTS = {
    "window": "hann",
    "normalize": "per_feature",
    "preemph": 0.97,
    "lowfreq": 0,
    "highfreq": None,
    "log": True,
    "log_zero_guard_type": "add",
    "log_zero_guard_value": 2**-24,
    "frame_splicing": 1,
    "exact_pad": False,
    "mag_power": 2.0,
    "mel_norm": "slaney",
}
#: Required values of settings that a MelSpec cannot express.
_NEEDED = {"window": "hann", "normalize": None, "preemph": None, "log": True, "frame_splicing": 1}


class NemoVocoder(ClientVocoder):
    """Vocoder with `convert_spectrogram_to_audio`; `vocoder_for` makes one that fits."""

    client = "NeMo"
    pads = True

    def convert_spectrogram_to_audio(self, spec: Tensor, **_: Any) -> Tensor:
        """Vocode (B, n_mels, frames) to (B, samples) float32 in [-1, 1].

        There are frames * hop_length samples, without the frames at the end of the longest item
        that NeMo has overwritten with 0.0.
        """
        wavs = self.vocode(spec)
        frames = max(unpadded_frames(convert_mel(spec, self.source, self.source.bands_first)))
        return wavs[:, : frames * self.vocoder.hop_length]

    forward = convert_spectrogram_to_audio


def vocoder_for(
    spectrogram_model: Any, vocoder: Vocoder | str | Path, *, seed: int | None = None
) -> NemoVocoder:
    """Vocoder that fits a FastPitch or another model with a `cfg.preprocessor`.

    Raises:
        MelMismatch: its mels differ from the vocoder's in what cannot be converted.
        WavewrightError: no MelSpec can express them.
    """
    spec = mel_spec_of(spectrogram_model.cfg.preprocessor)
    adapter = NemoVocoder(vocoder, spec, seed=seed, check=False)
    return adapter.to(getattr(spectrogram_model, "device", "cpu"))


def mel_spec_of(preprocessor: Mapping[str, Any]) -> MelSpec:
    """Mel convention of a NeMo configuration's `preprocessor` section."""
    config = {**_DEFAULTS, **dict(preprocessor)}
    unknown = {
        name: config[name]
        for name, required in _NEEDED.items()
        if (config[name] or None) != required
    }
    if config["log_zero_guard_type"] not in ("add", "clamp"):
        unknown["log_zero_guard_type"] = config["log_zero_guard_type"]
    require_no_unknown(unknown, "NeMo's preprocessor")
    rate = require_setting(config, "sample_rate", "NeMo")
    window = _samples(config, "window_size", rate)
    return MelSpec.model_validate(
        {
            "sample_rate": rate,
            "n_fft": config.get("n_fft") or 2 ** (window - 1).bit_length(),
            "hop_length": _samples(config, "window_stride", rate),
            "win_length": window,
            "window_periodic": False,
            "n_mels": require_setting(config, "features", "NeMo"),
            "fmin": config["lowfreq"],
            "fmax": config["highfreq"],
            "mel_norm": config["mel_norm"],
            "power": int(config["mag_power"]),
            "floor": float(config["log_zero_guard_value"]),
            "guard": config["log_zero_guard_type"],
            "framing": "hop" if config["exact_pad"] else "center",
            "pad_mode": "constant",
        }
    )


def _samples(config: Mapping[str, Any], name: str, rate: int) -> int:
    """Length in samples, given as `n_NAME` (samples) or `NAME` (seconds)."""
    return int(config.get(f"n_{name}") or require_setting(config, name, "NeMo") * rate)


def nemo_model(adapter: NemoVocoder) -> Any:
    """A NeMo `Vocoder` with neural types around an adapter.

    Raises:
        MissingExtra: NeMo is not installed.
    """
    try:
        from nemo.collections.tts.models.base import Vocoder as NemoBase
        from nemo.core.classes.common import typecheck
        from nemo.core.neural_types.elements import AudioSignal, MelSpectrogramType
        from nemo.core.neural_types.neural_type import NeuralType
        from omegaconf import OmegaConf
    except ImportError as error:
        raise MissingExtra(
            f"a NeMo model needs NeMo ({error}): pip install 'nemo_toolkit[tts]'"
        ) from error
    takes = {"spec": NeuralType(("B", "C", "T"), MelSpectrogramType())}
    gives = {"audio": NeuralType(("B", "T"), AudioSignal(adapter.sample_rate))}

    class WavewrightVocoder(NemoBase):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(cfg=OmegaConf.create({"sample_rate": adapter.sample_rate}))
            self.adapter = adapter
            self.sample_rate = adapter.sample_rate

        @property
        def input_types(self) -> dict[str, Any]:
            return takes

        @property
        def output_types(self) -> dict[str, Any]:
            return gives

        @typecheck()  # type: ignore[untyped-decorator]
        def forward(self, *, spec: Tensor) -> Tensor:
            return self.adapter.convert_spectrogram_to_audio(spec)

        @typecheck(input_types=takes, output_types=gives)  # type: ignore[untyped-decorator]
        def convert_spectrogram_to_audio(self, spec: Tensor, **_: Any) -> Tensor:
            return self.adapter.convert_spectrogram_to_audio(spec)

        def setup_training_data(self, *_: Any) -> None:
            """Do nothing; the vocoder is trained already."""

        def setup_validation_data(self, *_: Any) -> None:
            """Do nothing; the vocoder is trained already."""

        @classmethod
        def list_available_models(cls) -> list[Any]:
            return []

    return WavewrightVocoder().eval()
