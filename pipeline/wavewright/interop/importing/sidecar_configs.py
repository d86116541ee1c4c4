"""Configuration files beside checkpoints (sidecars), read as plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wavewright.errors import WavewrightError
from wavewright.interop.espnet import LOG_MEL_DEFAULTS, parse_sample_rate
from wavewright.io.strict_yaml import parse_yaml

_LARGEST = 1 << 20  # bytes of a configuration


class SidecarConfig(NamedTuple):
    """Settings from the files beside a checkpoint that its weights do not show.

    Attributes:
        source: the configuration's name; "" where there is none.
        fields: fields of our configuration.
        mel: fields of the MelSpec that differ from the format's preset; may name another preset.
        statistics: a file of means and scales of mels.
        normalises: whether the network expects mels normalised by statistics.
        centres: whether means are subtracted.
        scales: whether mels are divided by deviations.
        discriminators: settings of its discriminators that no shape shows; `unlike` says why ours
            cannot represent them.
    """

    source: str = ""
    fields: Mapping[str, Any] = {}
    mel: Mapping[str, Any] = {}
    statistics: Path | None = None
    normalises: bool = True
    centres: bool = True
    scales: bool = True
    discriminators: Mapping[str, Any] = {}


def no_sidecar(path: Path) -> SidecarConfig:
    """Empty sidecar, for formats whose checkpoints stand alone."""
    return SidecarConfig()


_MEL = {
    "sampling_rate": "sample_rate",
    "n_fft": "n_fft",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "num_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
_UPSAMPLING = ("upsample_rates", "upsample_kernel_sizes", "resblock_dilation_sizes")


def hifigan(path: Path) -> SidecarConfig:
    """Read config.json of HiFi-GAN and BigVGAN."""
    config, source = _json(path, "config.json")
    if "upsample_rates" not in config:
        return SidecarConfig()
    _require(path.parent / source, config, snake_logscale=True, use_tanh_at_final=True)
    fields, mel = (
        _pick_fields(config, {name: name for name in _UPSAMPLING}),
        _pick_fields(config, _MEL),
    )
    discriminators = _pick_fields(config, {"resolutions": "resolutions", "mpd_reshapes": "periods"})
    return SidecarConfig(source, fields, mel, discriminators=discriminators)


def speecht5(path: Path) -> SidecarConfig:
    """Read config.json of transformers' SpeechT5HifiGan; the sample rate implies the mel."""
    config, source = _json(path, "config.json")
    if "upsample_rates" not in config:
        return SidecarConfig()
    _require(path.parent / source, config, leaky_relu_slope=0.1)
    rate = config.get("sampling_rate", 16000)
    mel = {16000: {}, 22050: {"preset": "espnet"}}.get(rate, {"sample_rate": rate})
    fields = _pick_fields(config, {name: name for name in _UPSAMPLING})
    return SidecarConfig(source, fields, mel, normalises=bool(config.get("normalize_before", True)))


_PWG_MEL = {
    "sampling_rate": "sample_rate",
    "fft_size": "n_fft",
    "hop_size": "hop_length",
    "win_length": "win_length",
    "num_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
_PWG_GENERATOR = {
    "stacks": "cycles",
    "upsample_scales": "upsample_rates",
    "upsample_kernel_sizes": "upsample_kernel_sizes",
    "resblock_dilations": "resblock_dilation_sizes",
}


_PWG_FILTERS = {"taps": "taps", "cutoff_ratio": "cutoff", "beta": "beta"}


def parallel_wavegan(path: Path) -> SidecarConfig:
    """Read config.yml of ParallelWaveGAN, and find its statistics."""
    statistics = next(
        (path.parent / n for n in ("stats.h5", "stats.npy") if (path.parent / n).is_file()), None
    )
    config, source = _yaml(path, "config.yml", "config.yaml")
    generator = _section(config, "generator_params")
    if not generator:
        return SidecarConfig(statistics=statistics)
    kind = str(config.get("generator_type", "Parallel"))
    fields = _generator(path.parent / source, kind.lower(), generator) | _filters(config)
    mel = _pick_fields(config, _PWG_MEL)
    if mel.get("win_length", 0) is None:
        mel["win_length"] = mel.get("n_fft", 1024)
    mel["log"] = _logarithm(config)
    discriminators = _discriminators(kind.lower(), _section(config, "discriminator_params"))
    return SidecarConfig(source, fields, mel, statistics, discriminators=discriminators)


def _discriminators(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of Hayashi's discriminators that their shapes do not show."""
    if not params:
        return {}
    slope = 0.1 if kind.startswith("hifigan") else 0.2
    scale = _section(params, "scale_discriminator_params")
    strides = scale.get("downsample_scales", [2, 2, 4, 4, 1])
    settings: dict[str, Any] = {"scale_strides": strides} if kind.startswith("hifigan") else {}
    if "periods" in params:
        settings["periods"] = params["periods"]
    for part in (params, scale, _section(params, "period_discriminator_params")):
        their_slope = _section(part, "nonlinear_activation_params").get("negative_slope", slope)
        if their_slope != slope:
            settings["unlike"] = f"their negative_slope is {their_slope!r}, ours is {slope}"
    if params.get("dilation_factor", 1) != 1:
        settings["unlike"] = f"their dilation_factor is {params['dilation_factor']!r}, ours is 1"
    return settings


def _generator(file: Path, kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Our fields from Hayashi's generator_params or ESPnet's vocoder_params."""
    defaults = next(
        (fields for name, fields in _THEIR_DEFAULTS.items() if kind.startswith(name)), {}
    )
    names, settings = dict(_PWG_GENERATOR), {**defaults, **params}
    _require(file, params, use_causal_conv=False, use_final_nonlinear_activation=True)
    slope = next((slope for name, slope in _SLOPES.items() if kind.startswith(name)), None)
    if slope is not None:
        _require(file, params, nonlinear_activation="LeakyReLU", pad="ReflectionPad1d")
        _require(file, _section(params, "nonlinear_activation_params"), negative_slope=slope)
    if kind.startswith("parallel"):
        upsampling = _section(params, "upsample_params")
        _require(file, upsampling, nonlinear_activation=None, interpolate_mode="nearest")
        settings |= upsampling
    else:
        del names["stacks"]  # which is another thing in its MelGAN
    return _pick_fields(settings, names)


_SLOPES = {"hifigan": 0.1, "melgan": 0.2}
#: Defaults of Hayashi's classes that no shape shows.
_THEIR_DEFAULTS: dict[str, dict[str, Any]] = {
    "hifigan": {"resblock_dilations": [[1, 3, 5]] * 3},
    "parallel": {"stacks": 3},
}


def _logarithm(config: Mapping[str, Any]) -> str:
    base = config.get("log_base", 10.0)
    return "ln" if base is None else "log10" if base == 10 else str(base)


def _filters(config: Mapping[str, Any]) -> dict[str, Any]:
    """PQMF parameters of a multi-band network, as its `load_model` chooses them.

    Up to version 0.4.2 it had another cutoff, which a later one keeps to for older files.
    """
    fields = _pick_fields(_section(config, "pqmf_params"), _PWG_FILTERS)
    version = tuple(int(n) for n in re.findall(r"\d+", str(config.get("version", "0.1.0")))[:3])
    return fields if "pqmf_params" in config or version > (0, 4, 2) else {"cutoff": 0.15}


_ESPNET_MEL = {
    "fs": "sample_rate",
    "n_fft": "n_fft",
    "hop_length": "hop_length",
    "win_length": "win_length",
    "n_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}


def espnet(path: Path) -> SidecarConfig:
    """Read config.yaml of an ESPnet model with its own vocoder (joint_text2wav).

    Its vocoder is driven by the output of its text2mel: mels after `normalize`, if it has one.
    """
    config, source = _yaml(path, "config.yaml", "config.yml")
    if "tts_conf" not in config:
        return SidecarConfig()
    file, tts = path.parent / source, _section(config, "tts_conf")
    _require(file, tts, use_pqmf=False)
    kind = str(tts.get("vocoder_type", "hifigan_generator"))
    fields = _generator(file, kind, _section(tts, "vocoder_params"))
    _require(file, config, feats_extract="fbank")
    features = {**LOG_MEL_DEFAULTS, **_section(config, "feats_extract_conf")}
    _require(file, features, window="hann", center=True, normalized=False, onesided=True)
    features["fs"] = parse_sample_rate(features["fs"])
    mel = {"preset": "espnet", **_pick_fields(features, _ESPNET_MEL), "log": _logarithm(features)}
    mel["win_length"] = mel["win_length"] or mel["n_fft"]
    mel["mel_scale"] = "htk" if features.get("htk") else "slaney"
    normalize = config.get("normalize")
    if normalize not in (None, "none", "global_mvn"):
        raise WavewrightError(f"{file}: normalize is {normalize!r}; global_mvn or none is known")
    means = {"norm_means": True, "norm_vars": True, **_section(config, "normalize_conf")}
    return SidecarConfig(
        source,
        fields,
        mel,
        normalises=normalize == "global_mvn",
        centres=bool(means["norm_means"]),
        scales=bool(means["norm_vars"]),
        discriminators=_discriminators(kind, _section(tts, "discriminator_params")),
    )


def vocos(path: Path) -> SidecarConfig:
    """Read config.yaml of Vocos."""
    config, source = _yaml(path, "config.yaml", "config.yml")
    config = _section(config, "model", "init_args") or config
    arguments = _section(config, "feature_extractor", "init_args")
    if not arguments:
        return SidecarConfig()
    same = ("sample_rate", "n_fft", "hop_length", "n_mels")
    mel = _pick_fields(arguments, {name: name for name in same})
    mel |= {"win_length": mel.get("n_fft", 1024), "fmax": None}
    mel["framing"] = {"same": "hop"}.get(arguments.get("padding", "center"), "center")
    return SidecarConfig(source, {}, mel)


def wavenet(path: Path) -> SidecarConfig:
    """Read hparams.json of wavenet_vocoder, which lacks the statistics of its mels."""
    config, source = _json(path, "hparams.json", "config.json")
    return SidecarConfig(
        source, _pick_fields(config, {"stacks": "cycles", "log_scale_min": "log_scale_min"})
    )


def _pick_fields(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Pick their fields under our names; a null is kept, since `fmax: null` has a meaning."""
    fields = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    if fields.get("fmin", 0) is None:
        fields["fmin"] = 0.0
    rates = fields.get("upsample_rates", [1])
    if not isinstance(rates, list) or not all(type(rate) is int and rate > 0 for rate in rates):
        raise WavewrightError(f"the configuration beside it has upsampling rates {rates!r}")
    return fields


def _require(file: Path, config: Mapping[str, Any], **allowed: Any) -> None:
    """Refuse a network that computes differently from ours in ways that no shape shows."""
    for name, value in allowed.items():
        if config.get(name, value) != value:
            raise WavewrightError(
                f"{file}: {name} is {config[name]!r}; such a network is not among ours, whose is "
                f"{value!r}"
            )


def _section(config: Any, *names: str) -> dict[str, Any]:
    """Nested section of a configuration; empty if missing."""
    for name in names:
        config = config.get(name) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else {}


def _json(path: Path, *names: str) -> tuple[dict[str, Any], str]:
    text, source = _text(path, *names)
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise WavewrightError(f"{path.parent / source}: not valid JSON ({error})") from error
    return (config, source) if isinstance(config, dict) else ({}, "")


def _yaml(path: Path, *names: str) -> tuple[dict[str, Any], str]:
    text, source = _text(path, *names)
    return (parse_yaml(text, path.parent / source)[0], source) if text else ({}, "")


def _text(path: Path, *names: str) -> tuple[str, str]:
    """Text and name of the first such file beside a checkpoint."""
    for name in names:
        file = path.parent / name
        if file.is_file():
            if file.stat().st_size > _LARGEST:
                raise WavewrightError(f"{file}: too large for a configuration")
            try:
                return file.read_text("utf-8"), name
            except (OSError, UnicodeDecodeError) as error:
                raise WavewrightError(f"{file}: not readable ({error})") from error
    return "", ""
