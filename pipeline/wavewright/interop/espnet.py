"""Vocoders for ESPnet2's `Text2Speech`, whose `vocoder` takes (frames, n_mels) and has `.fs`.

    from wavewright.interop import espnet

    text2speech = Text2Speech("exp/tts/config.yaml", "exp/tts/train.pth")
    espnet.attach(text2speech, "hifigan.safetensors")
    wav = text2speech("Good morning.")["wav"]

ESPnet's own Griffin-Lim takes every mel for log10, whatever `log_base` its features were made
with; `attach` reads it from the training's arguments.

Source: espnet 202511, espnet2/bin/tts_inference.py and espnet2/tts/feats_extract (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wavewright.errors import WavewrightError, os_error_reason
from wavewright.interop.adapter import ClientVocoder, require_no_unknown, require_setting
from wavewright.mel.spec import MelSpec
from wavewright.models.vocoder import Vocoder

_LOGS = {None: "ln", 10: "log10"}
#: Defaults of ESPnet's LogMelFbank.
LOG_MEL_DEFAULTS: dict[str, Any] = {
    "fs": 16000, "n_fft": 1024, "hop_length": 256, "win_length": None, "n_mels": 80,
    "fmin": 80, "fmax": 7600,
}  # fmt: skip


class ESPnetVocoder(ClientVocoder):
    """Vocoder to put in `text2speech.vocoder`; `attach` makes one that fits."""

    client = "ESPnet"

    @property
    def fs(self) -> int:
        """Sample rate in Hz, under ESPnet's name."""
        return self.sample_rate

    def forward(self, feats: Tensor) -> Tensor:
        """Vocode (frames, n_mels) to (frames * hop_length,) float32 in [-1, 1]."""
        if feats.ndim != 2:
            raise WavewrightError(
                f"ESPnet's mels are (frames, {self.source.n_mels}), found {tuple(feats.shape)}"
            )
        return self.vocode(feats[None])[0]


def attach(
    text2speech: Any, vocoder: Vocoder | str | Path, *, seed: int | None = None
) -> ESPnetVocoder:
    """Attach a vocoder to a Text2Speech, if its mels can be converted to the vocoder's.

    Args:
        text2speech: an `espnet2.bin.tts_inference.Text2Speech`; its `vocoder` is replaced.
        vocoder: a loaded one, or what `load_vocoder` takes.
        seed: seed of the vocoder's noise.

    Raises:
        MelMismatch: the two mels differ in what cannot be converted.
        WavewrightError: the model makes no log-mels, or hands them over normalised.
    """
    # The settings are known, so the values need no check.
    adapter = ESPnetVocoder(vocoder, mel_spec_of(text2speech), seed=seed, check=False)
    text2speech.vocoder = adapter.to(getattr(text2speech, "device", "cpu"))
    return adapter


def mel_spec_of(text2speech: Any) -> MelSpec:
    """Mel convention that a Text2Speech passes to its vocoder.

    Raises:
        WavewrightError: as for `attach`.
    """
    arguments = text2speech.train_args
    features, options = arguments.feats_extract, arguments.feats_extract_conf or {}
    if features != "fbank":
        raise WavewrightError(
            f"this ESPnet model makes '{features}' and no log-mels (feats_extract: fbank), so "
            "that no mel vocoder can follow it"
        )
    normalised = getattr(text2speech, "normalize", None) is not None
    if normalised and getattr(text2speech, "prefer_normalized_feats", False):
        raise WavewrightError(
            "this Text2Speech hands normalised mels to its vocoder: make it with "
            "prefer_normalized_feats=False"
        )
    extract = getattr(text2speech, "feats_extract", None)
    if extract is None:
        raise WavewrightError("this Text2Speech has no feats_extract, which defines its mels")
    return _make_mel_spec(extract.get_parameters(), options)


def mel_spec_of_config(path: Path) -> MelSpec:
    """Mel convention of an ESPnet model, from its `config.yaml`.

    Raises:
        WavewrightError: no such file, no configuration of a text-to-speech model, or no log-mels.
    """
    from wavewright.io.strict_yaml import parse_yaml  # whose package ESPnet does without

    try:
        config, _ = parse_yaml(path.read_text("utf-8"), path)
    except OSError as error:
        raise WavewrightError(f"{path}: not readable ({os_error_reason(error)})") from error
    except UnicodeDecodeError as error:
        raise WavewrightError(f"{path}: no text in UTF-8") from error
    kind = config.get("feats_extract")
    if kind != "fbank":
        raise WavewrightError(
            f"{path}: feats_extract is {kind!r}; fbank is wanted, as in config.yaml of a "
            "text-to-speech model of ESPnet's"
        )
    options = config.get("feats_extract_conf") or {}
    features = {**LOG_MEL_DEFAULTS, **options}
    try:
        return _make_mel_spec(
            {
                **features,
                "fs": parse_sample_rate(features["fs"]),
                "n_shift": features["hop_length"],
            },
            options,
        )
    except WavewrightError as error:
        raise WavewrightError(f"{path}: {error}") from error


def parse_sample_rate(rate: Any) -> Any:
    """Parse a sample rate as ESPnet writes it: 22050, or 22k for 22000."""
    if not isinstance(rate, str):
        return rate
    number, times = (rate[:-1], 1000) if rate[-1:] in "kK" else (rate, 1)
    try:
        return round(float(number) * times)
    except ValueError:
        return rate


def _make_mel_spec(parameters: Mapping[str, Any], options: Mapping[str, Any]) -> MelSpec:
    """Spec from `get_parameters()` (without log_base) and the arguments (without defaults)."""
    base = options.get("log_base", 10)
    unknown = {} if base in _LOGS else {"log_base": base}
    unknown |= {name: options[name] for name in ("normalized", "htk") if options.get(name)}
    unknown |= {name: False for name in ("center", "onesided") if not options.get(name, True)}
    if parameters.get("window", "hann") != "hann":
        unknown["window"] = parameters["window"]
    require_no_unknown(unknown, "ESPnet's feats_extract")
    n_fft = require_setting(parameters, "n_fft", "ESPnet")
    return MelSpec.model_validate(
        {
            "preset": "espnet",
            "sample_rate": require_setting(parameters, "fs", "ESPnet"),
            "n_fft": n_fft,
            "hop_length": require_setting(parameters, "n_shift", "ESPnet"),
            "win_length": parameters.get("win_length") or n_fft,
            "n_mels": require_setting(parameters, "n_mels", "ESPnet"),
            "fmin": parameters.get("fmin") or 0.0,
            "fmax": parameters.get("fmax"),
            "log": _LOGS[base],
        }
    )
