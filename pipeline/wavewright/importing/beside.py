"""Configuration files that toolkits keep beside their checkpoints, read as plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wavewright.errors import WavewrightError
from wavewright.strict_yaml import parse_yaml

_LARGEST = 1 << 20  # bytes of a configuration


class Beside(NamedTuple):
    """What the files beside a checkpoint say that its weights do not.

    Attributes:
        source: the configuration's name; "" where there is none.
        fields: of our configuration.
        mel: fields of the MelSpec that differ from the format's preset; may name another preset.
        statistics: a file of means and scales of mels.
        normalises: whether the network wants mels normalised by statistics.
    """

    source: str = ""
    fields: Mapping[str, Any] = {}
    mel: Mapping[str, Any] = {}
    statistics: Path | None = None
    normalises: bool = True


def nothing(path: Path) -> Beside:
    """For formats whose checkpoints stand alone."""
    return Beside()


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


def hifigan(path: Path) -> Beside:
    """config.json of HiFi-GAN and BigVGAN."""
    given, source = _json(path, "config.json")
    if "upsample_rates" not in given:
        return Beside()
    _require(path.parent / source, given, snake_logscale=True, use_tanh_at_final=True)
    return Beside(source, _taken(given, {name: name for name in _UPSAMPLING}), _taken(given, _MEL))


def speecht5(path: Path) -> Beside:
    """config.json of transformers' SpeechT5HifiGan; its mels follow from the sample rate."""
    given, source = _json(path, "config.json")
    if "upsample_rates" not in given:
        return Beside()
    _require(path.parent / source, given, leaky_relu_slope=0.1)
    rate = given.get("sampling_rate", 16000)
    mel = {16000: {}, 22050: {"preset": "espnet"}}.get(rate, {"sample_rate": rate})
    fields = _taken(given, {name: name for name in _UPSAMPLING})
    return Beside(source, fields, mel, normalises=bool(given.get("normalize_before", True)))


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


def parallel_wavegan(path: Path) -> Beside:
    """config.yml of ParallelWaveGAN, and its statistics."""
    statistics = next(
        (path.parent / n for n in ("stats.h5", "stats.npy") if (path.parent / n).is_file()), None
    )
    given, source = _yaml(path, "config.yml", "config.yaml")
    generator = _inside(given, "generator_params")
    if not generator:
        return Beside(statistics=statistics)
    slope = {"HiFiGANGenerator": 0.1, "MelGANGenerator": 0.2}.get(str(given.get("generator_type")))
    file, names = path.parent / source, dict(_PWG_GENERATOR)
    _require(file, generator, use_causal_conv=False, use_final_nonlinear_activation=True)
    if slope is not None:
        _require(file, _inside(generator, "nonlinear_activation_params"), negative_slope=slope)
    if "Parallel" in str(given.get("generator_type", "Parallel")):
        generator = {**generator, **_inside(generator, "upsample_params")}
    else:
        del names["stacks"]  # which is another thing in its MelGAN
    mel = _taken(given, _PWG_MEL)
    if mel.get("win_length", 0) is None:
        mel["win_length"] = mel.get("n_fft", 1024)
    base = given.get("log_base", 10.0)
    mel["log"] = "ln" if base is None else "log10" if base == 10 else str(base)
    fields = {**_taken(generator, names), **_filters(given)}
    return Beside(source, fields, mel, statistics)


def _filters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The bank of a network of several bands, as its `load_model` builds it.

    Up to version 0.4.2 it had another cutoff, which a later one keeps to for older files.
    """
    taken = _taken(_inside(given, "pqmf_params"), _PWG_FILTERS)
    version = tuple(int(n) for n in re.findall(r"\d+", str(given.get("version", "0.1.0")))[:3])
    return taken if "pqmf_params" in given or version > (0, 4, 2) else {"cutoff": 0.15}


def vocos(path: Path) -> Beside:
    """config.yaml of Vocos."""
    given, source = _yaml(path, "config.yaml", "config.yml")
    given = _inside(given, "model", "init_args") or given
    arguments = _inside(given, "feature_extractor", "init_args")
    if not arguments:
        return Beside()
    same = ("sample_rate", "n_fft", "hop_length", "n_mels")
    mel = _taken(arguments, {name: name for name in same})
    mel |= {"win_length": mel.get("n_fft", 1024), "fmax": None}
    mel["framing"] = {"same": "hop"}.get(arguments.get("padding", "center"), "center")
    return Beside(source, {}, mel)


def wavenet(path: Path) -> Beside:
    """hparams.json of wavenet_vocoder; it does not say the statistics of its mels."""
    given, source = _json(path, "hparams.json", "config.json")
    return Beside(source, _taken(given, {"stacks": "cycles", "log_scale_min": "log_scale_min"}))


def _taken(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Fields of theirs in our names; a null is kept, since it says something of fmax."""
    taken = {ours: given[theirs] for theirs, ours in names.items() if theirs in given}
    if taken.get("fmin", 0) is None:
        taken["fmin"] = 0.0
    rates = taken.get("upsample_rates", [1])
    if not isinstance(rates, list) or not all(type(rate) is int and rate > 0 for rate in rates):
        raise WavewrightError(f"the configuration beside it has upsampling rates {rates!r}")
    return taken


def _require(file: Path, given: Mapping[str, Any], **allowed: Any) -> None:
    """Refuse a network that computes otherwise than ours, which no tensor's shape would show."""
    for name, value in allowed.items():
        if given.get(name, value) != value:
            raise WavewrightError(
                f"{file}: {name} is {given[name]!r}; such a network is not among ours, whose is "
                f"{value!r}"
            )


def _inside(given: Any, *names: str) -> dict[str, Any]:
    """The mapping at a place of a configuration; an empty one where there is none."""
    for name in names:
        given = given.get(name) if isinstance(given, dict) else None
    return given if isinstance(given, dict) else {}


def _json(path: Path, *names: str) -> tuple[dict[str, Any], str]:
    text, source = _text(path, *names)
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise WavewrightError(f"{path.parent / source}: not valid JSON ({error})") from error
    return (given, source) if isinstance(given, dict) else ({}, "")


def _yaml(path: Path, *names: str) -> tuple[dict[str, Any], str]:
    text, source = _text(path, *names)
    return (parse_yaml(text, path.parent / source)[0], source) if text else ({}, "")


def _text(path: Path, *names: str) -> tuple[str, str]:
    """The first of such files beside a checkpoint, and its name."""
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
