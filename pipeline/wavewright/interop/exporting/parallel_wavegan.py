"""ParallelWaveGAN files, readable by its `load_model` and ESPnet's `--vocoder_file`.

A folder holds `checkpoint-*.pkl`, `config.yml` and `stats.h5`. The statistics are what its
`inference(mel, normalize_before=True)`, and ESPnet, take away from a mel in log10 before the
network sees it: whatever lies between such a mel and the one that our network learnt from, a
natural logarithm included, is written there.

Source: parallel_wavegan 0.6.1, models and utils/utils.py (MIT).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.io.files import atomic_write, os_error_context, write_text
from wavewright.mel.spec import LOG_UNIT, MelSpec, StatisticsNormalisation, format_differences
from wavewright.models.vocoder import Vocoder
from wavewright.vocoders import hifigan, melgan, multiband_melgan, parallel_wavegan

State = Mapping[str, Tensor]


_BASES = {"log10": 10.0, "ln": None}


class TheirGenerator(NamedTuple):
    """ParallelWaveGAN generator class equivalent to one of our vocoders.

    Attributes:
        kind: its name.
        parameters: arguments of its constructor.
        modules: paths of all its modules with weights.
        rename: their state dict to ours.
        filters: parameters of the PQMF synthesis bank, if it predicts several bands.
    """

    kind: str
    parameters: dict[str, Any]
    modules: tuple[str, ...]
    rename: Callable[[State], dict[str, Tensor]]
    filters: dict[str, Any] | None = None


def write_parallel_wavegan(
    vocoder: Vocoder, out: Path, step: int, log: str = "log10"
) -> list[Path]:
    """Write a vocoder for ParallelWaveGAN.

    Args:
        vocoder: a HiFi-GAN, MelGAN, Multi-band MelGAN or Parallel WaveGAN.
        out: the folder.
        step: training step, for the checkpoint's name.
        log: logarithm of the mels that it will be given, `log10` or `ln`.

    Returns:
        The files, the checkpoint first.

    Raises:
        MissingExtra: h5py is not installed.
        WavewrightError: none of their classes computes what it does.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(
            "stats.h5 is written by h5py, which is not installed: pip install 'wavewright[mels]'"
        ) from error
    if out.is_file() or out.suffix == ".pkl":
        raise WavewrightError(f"{out}: ParallelWaveGAN's files go into a folder; name one")
    theirs, (mean, scale) = _generator(vocoder), _statistics(vocoder, log)
    state = _rename_weights(vocoder, theirs)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"checkpoint-{step}steps.pkl", out / "config.yml", out / "stats.h5"]
    with atomic_write(files[0]) as scratch, os_error_context(scratch):
        torch.save({"model": {"generator": state}, "steps": step}, scratch)
    write_text(files[1], _yaml(_config(vocoder, theirs, log)))
    with atomic_write(files[2]) as scratch, h5py.File(scratch, "w") as file:
        file["mean"], file["scale"] = mean, scale
    return files


def mel_differences(spec: MelSpec) -> str:
    """Fields in which a mel differs from what ParallelWaveGAN and ESPnet extract; may be empty."""
    same = ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "fmin", "fmax")
    settings = {name: getattr(spec, name) for name in same}
    differing = [
        spec.bands_first.differences(MelSpec.preset(preset).model_copy(update=settings).bands_first)
        for preset in ("parallel-wavegan", "espnet")
    ]
    for fields in differing:
        for name in {"log", "normalisation"} & fields.keys():
            del fields[name]
    return format_differences(min(differing, key=len))


def _generator(vocoder: Vocoder) -> TheirGenerator:
    if vocoder.mel_spec.target_steps:
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, which does not undo the "
            "target_steps of its mel"
        )
    if isinstance(vocoder, hifigan.HiFiGAN):
        return _hifigan(vocoder)
    if isinstance(vocoder, melgan.MelGAN):
        return _melgan(vocoder)
    if isinstance(vocoder, multiband_melgan.MultiBandMelGAN):
        return _multiband_melgan(vocoder)
    if isinstance(vocoder, parallel_wavegan.ParallelWaveGAN):
        return _parallel_wavegan(vocoder)
    raise WavewrightError(
        f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, which has no such network; "
        "those of ours that it has: hifigan, melgan, multiband_melgan, parallel_wavegan"
    )


def _hifigan(vocoder: hifigan.HiFiGAN) -> TheirGenerator:
    config = vocoder.config
    rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
    if kernels != tuple(2 * rate for rate in rates):
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN: upsample_kernel_sizes "
            f"{kernels} are not twice the upsample_rates {rates}"
        )
    parameters = {
        "in_channels": config.mel.n_mels,
        "channels": config.upsample_initial_channel,
        "upsample_scales": list(rates),
        "upsample_kernel_sizes": list(kernels),
        "resblock_kernel_sizes": list(config.resblock_kernel_sizes),
        "resblock_dilations": [list(d) for d in config.resblock_dilation_sizes],
        "use_additional_convs": config.resblock == 1,
        "nonlinear_activation_params": {"negative_slope": 0.1},
    }

    def modules() -> Iterator[str]:
        yield from ("input_conv", "output_conv.1")
        yield from (f"upsamples.{i}.1" for i in range(len(rates)))
        stacks = config.resblock_dilation_sizes * len(rates)
        for number, dilations in enumerate(stacks):
            for which in ("convs1", "convs2")[: 2 if config.resblock == 1 else 1]:
                yield from (f"blocks.{number}.{which}.{i}.1" for i in range(len(dilations)))

    rename = hifigan.rename_parallel_wavegan
    return TheirGenerator("HiFiGANGenerator", parameters, tuple(modules()), rename)


def _melgan(vocoder: melgan.MelGAN) -> TheirGenerator:
    config = vocoder.config
    width = config.base_channels * 2 ** len(config.upsample_rates)
    if config.tail_frames or width < vocoder.hop_length:
        finding = f"tail_frames {config.tail_frames}" if config.tail_frames else f"{width} channels"
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, whose MelGAN knows no "
            f"tail_frames and has at least hop_length ({vocoder.hop_length}) channels before the "
            f"first upsampling: found {finding}"
        )

    def rename(state: State) -> dict[str, Tensor]:
        return melgan.rename_official(state, config)

    return _melgan_like(config, width, rename)


def _multiband_melgan(vocoder: multiband_melgan.MultiBandMelGAN) -> TheirGenerator:
    config = vocoder.config
    if config.channels < prod(config.upsample_rates):
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, whose MelGAN has at least "
            f"as many channels as the upsample_rates multiply to ({prod(config.upsample_rates)}): "
            f"found {config.channels}"
        )
    theirs = _melgan_like(config, config.channels, multiband_melgan.rename_parallel_wavegan)
    theirs.parameters["out_channels"] = config.bands
    filters = {"taps": config.taps, "cutoff_ratio": config.cutoff, "beta": config.beta}
    return theirs._replace(filters=filters)


def _melgan_like(
    config: melgan.MelGANConfig | multiband_melgan.MultiBandMelGANConfig,
    channels: int,
    rename: Callable[[State], dict[str, Tensor]],
) -> TheirGenerator:
    rates, layers = config.upsample_rates, config.residual_layers
    parameters = {
        "in_channels": config.mel.n_mels,
        "channels": channels,
        "upsample_scales": list(rates),
        "stacks": layers,
        "nonlinear_activation_params": {"negative_slope": 0.2},
    }

    def modules() -> Iterator[str]:
        yield from ("melgan.1", f"melgan.{4 + len(rates) * (2 + layers)}")
        for start in range(3, 3 + len(rates) * (2 + layers), 2 + layers):
            yield f"melgan.{start}"
            for block in range(start + 1, start + 1 + layers):
                yield from (f"melgan.{block}.{n}" for n in ("stack.2", "stack.4", "skip_layer"))

    return TheirGenerator("MelGANGenerator", parameters, tuple(modules()), rename)


def _parallel_wavegan(vocoder: parallel_wavegan.ParallelWaveGAN) -> TheirGenerator:
    config = vocoder.config
    parameters = {
        "layers": config.layers,
        "stacks": config.cycles,
        "residual_channels": config.residual_channels,
        "gate_channels": config.gate_channels,
        "skip_channels": config.skip_channels,
        "aux_channels": config.mel.n_mels,
        "aux_context_window": config.context_frames,
        "upsample_params": {"upsample_scales": list(config.upsample_rates)},
    }

    def modules() -> Iterator[str]:
        yield from ("first_conv", "upsample_net.conv_in", "last_conv_layers.1")
        yield "last_conv_layers.3"
        for number in range(len(config.upsample_rates)):
            yield f"upsample_net.upsample.up_layers.{2 * number + 1}"
        for number in range(config.layers):
            for part in ("conv", "conv1x1_aux", "conv1x1_out", "conv1x1_skip"):
                yield f"conv_layers.{number}.{part}"

    rename = parallel_wavegan.rename_official
    return TheirGenerator("ParallelWaveGANGenerator", parameters, tuple(modules()), rename)


def _rename_weights(vocoder: Vocoder, theirs: TheirGenerator) -> dict[str, Tensor]:
    """Weights under their names, found by inverting the import's renaming."""
    ours = {key: value.cpu().clone() for key, value in vocoder.inference_state().items()}
    names = [f"{path}.{kind}" for path in theirs.modules for kind in ("weight", "bias")]
    places = theirs.rename({name: torch.tensor(place) for place, name in enumerate(names)})
    renamed = {names[int(place)]: ours.pop(key) for key, place in places.items() if key in ours}
    if ours:
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, which has no place for "
            f"{', '.join(sorted(ours)[:5])}"
        )
    return renamed


def _statistics(vocoder: Vocoder, log: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale, (n_mels,) each, that map a mel in `log` to the network's input."""
    spec = vocoder.mel_spec
    mean, scale = np.zeros(spec.n_mels), np.ones(spec.n_mels)
    if isinstance(spec.normalisation, StatisticsNormalisation):
        mean, scale = mean + spec.normalisation.mean, scale * spec.normalisation.scale
    elif spec.normalisation is not None:
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for ParallelWaveGAN, which normalises by "
            f"statistics: its mel has {spec.normalisation}"
        )
    if isinstance(vocoder, melgan.MelGAN):  # which shifts and scales once more
        mean, scale = mean + scale * vocoder.config.input_shift, scale * vocoder.config.input_scale
    unit = LOG_UNIT[log] / LOG_UNIT[spec.log]
    return (mean * unit).astype(np.float32), (scale * unit).astype(np.float32)


def _config(vocoder: Vocoder, theirs: TheirGenerator, log: str) -> dict[str, Any]:
    """Configuration for `load_model` and ESPnet, with the complete MelSpec."""
    spec = vocoder.mel_spec
    return {
        "sampling_rate": spec.sample_rate,
        "fft_size": spec.n_fft,
        "hop_size": spec.hop_length,
        "win_length": spec.win_length,
        "window": spec.window,
        "num_mels": spec.n_mels,
        "fmin": spec.fmin,
        "fmax": spec.fmax,
        "log_base": _BASES[log],
        "format": "hdf5",
        "version": "0.6.1",
        "generator_type": theirs.kind,
        "generator_params": {"out_channels": 1, **theirs.parameters, "use_weight_norm": False},
        **({"pqmf_params": theirs.filters} if theirs.filters else {}),
        "wavewright": {"vocoder": vocoder.name, "mel": spec.non_default_fields()},
    }


def _yaml(config: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(config, text)
    return text.getvalue()
