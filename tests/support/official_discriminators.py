"""Vocoders of ours with their discriminators, in the files that other toolkits keep them in.

The names here are written down from those toolkits' code, apart from the importer's tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support import tiny
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

State = dict[str, Tensor]
PLAYER = "discriminator"
_OLD = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
    "parametrizations.weight.original": "weight_orig",
    "parametrizations.weight.0._u": "weight_u",
    "parametrizations.weight.0._v": "weight_v",
}


def old_names(state: State, name_of: Callable[[str], str]) -> State:
    """A state dict of ours under their modules' names, norms spelled as torch did before 2.0."""
    renamed = {}
    for key, value in state.items():
        match = re.fullmatch(r"(.+?)\.(bias|weight|gamma|scale|parametrizations\..+)", key)
        assert match is not None, key
        renamed[f"{name_of(match[1])}.{_OLD.get(match[2], match[2])}"] = value.clone()
    return renamed


def trained(name: str, **changes: Any) -> Vocoder:
    """A small vocoder in training; its discriminator has seen a batch, so that no norm is fresh."""
    torch.manual_seed(3)
    vocoder = create_vocoder(name, **changes)
    vocoder.prepare_for_training()
    vocoder.discriminators[PLAYER](torch.randn(2, 4096))
    with torch.no_grad():
        for value in vocoder.discriminators[PLAYER].parameters():
            value.mul_(1 + 0.1 * torch.rand_like(value))
    return vocoder.eval()


def _part(state: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _hayashis(path: str) -> str:
    """multi_period.discriminators.0.convs.1 -> mpd.discriminators.0.convs.1.0, and so on."""
    kind, _, number, part, *rest = path.split(".")
    if kind == "multi_period":
        end = "output_conv" if part == "conv_post" else f"convs.{rest[0]}.0"
        return f"mpd.discriminators.{number}.{end}"
    end = "layers.7" if part == "conv_post" else f"layers.{rest[0]}.0"
    return f"msd.discriminators.{number}.{end}"


def _hayashis_generator(path: str, stages: int) -> str:
    part, *rest = path.split(".")
    if part == "ups":
        return f"upsamples.{rest[0]}.1"
    if part == "resblocks":
        return f"blocks.{rest[0]}.{'convs1' if rest[1] == 'convs' else rest[1]}.{rest[2]}.1"
    return {"conv_pre": "input_conv", "conv_post": "output_conv.1"}[part]


def melgan_discriminator(path: str, layers: str, last: int) -> str:
    """discriminators.0.convs.2 -> discriminators.0.LAYERS.2.0; the first is padded before."""
    _, number, part, *rest = path.split(".")
    end = str(last) if part == "conv_post" else f"{rest[0]}.{int(rest[0] == '0')}"
    return f"discriminators.{number}.{layers}.{end}"


def melgan_generator(path: str, residual: int, root: str, park: bool) -> str:
    part, *rest = path.split(".")
    stride = 3 if park else 2 + residual
    if part == "conv_pre":
        return f"{root}.1"
    if part == "ups":
        return f"{root}.{3 + int(rest[0]) * stride}"
    if part == "conv_post":
        return f"{root}.{4 + 2 * stride}"
    stage, layer, which = int(rest[0]), int(rest[1]), rest[2]
    first = 4 + stage * stride
    if park:
        end = {"dilated": f"blocks.{layer}.2", "pointwise": f"blocks.{layer}.4"}
        return f"{root}.{first}.{end.get(which, f'shortcuts.{layer}')}"
    inner, shortcut = ("block", "shortcut") if root == "model" else ("stack", "skip_layer")
    end = {"dilated": f"{inner}.2", "pointwise": f"{inner}.4", "shortcut": shortcut}
    return f"{root}.{first + layer}.{end[which]}"


_HIFIGAN: dict[str, Any] = {
    **tiny.HIFIGAN,
    "resblock": 1,
    "resblock_dilation_sizes": ((1, 3, 5), (1, 3, 5)),
    "adversary": {"width_divisor": 8},
}
_MELGAN: dict[str, Any] = {
    "mel": tiny.SPEC, "upsample_rates": (4, 4), "base_channels": 4, "residual_layers": 3,
    "adversary": {"base_channels": 4},
}  # fmt: skip
#: How Hayashi's discriminators differ from the authors'.
HAYASHIS = {
    "width_divisor": 8, "period_last_kernel": 2, "scale_strides": (4, 4, 4, 4, 1),
    "spectral_first": False, "scales": 2,
}  # fmt: skip
_HAYASHIS_CONFIG = (
    "generator_type: HiFiGANGenerator\n"
    "generator_params: {resblock_dilations: [[1, 3, 5], [1, 3, 5]]}\n"
    "discriminator_params:\n  periods: [2, 3, 5, 7, 11]\n"
    "  scale_discriminator_params: {downsample_scales: [4, 4, 4, 4, 1]}\n"
)


def _hifigan(folder: Path, vocoder: Vocoder) -> Path:
    state = old_names(dict(vocoder.state_dict()), lambda path: path)
    against = vocoder.discriminators[PLAYER].state_dict()
    torch.save({"generator": state}, folder / "g_00000042")
    parts = {
        theirs: old_names(_part(against, f"{ours}."), lambda path: path)
        for theirs, ours in (("mpd", "multi_period"), ("msd", "multi_scale"))
    }
    optimiser = {"state": {0: {"exp_avg": torch.zeros(3)}}}
    torch.save({**parts, "optim_d": optimiser, "steps": 42}, folder / "do_00000042")
    return folder / "g_00000042"


def _bigvgan(folder: Path, vocoder: Vocoder) -> Path:
    def name(path: str) -> str:
        parts = path.split(".")
        return ".".join([*parts[:2], "0"]) if parts[0] == "ups" else path

    state: State = {}
    for key, value in vocoder.state_dict().items():
        parts = key.split(".")
        if parts[0] == "snake_post":
            state[f"activation_post.act.{parts[1].removeprefix('log_')}"] = value
        elif "snakes" in key:
            place = 2 * int(parts[3]) + int(parts[2][-1]) - 1
            start = ".".join([*parts[:2], "activations", str(place), "act"])
            state[f"{start}.{parts[4].removeprefix('log_')}"] = value
        else:
            state |= old_names({key: value}, name)
    against = vocoder.discriminators[PLAYER].state_dict()
    parts_of = {
        theirs: old_names(_part(against, f"{ours}."), lambda path: path)
        for theirs, ours in (("mpd", "multi_period"), ("mrd", "multi_resolution"))
    }
    torch.save({"generator": state}, folder / "bigvgan_generator.pt")
    torch.save({**parts_of, "steps": 9}, folder / "bigvgan_discriminator_optimizer.pt")
    (folder / "config.json").write_text(
        '{"upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8], '
        '"resblock_dilation_sizes": [[1], [3]], '
        '"resolutions": [[128, 16, 64], [64, 8, 32], [32, 8, 32]]}'
    )
    return folder / "bigvgan_generator.pt"


def _vocos(folder: Path, vocoder: Vocoder) -> Path:
    from tests.interop.test_import import vocos_name

    kept = {vocos_name(key): value for key, value in vocoder.inference_state().items()}
    against = vocoder.discriminators[PLAYER].state_dict()
    names = {"multi_period": "multiperioddisc", "multi_resolution": "multiresddisc"}
    for ours, theirs in names.items():
        part = old_names(_part(against, f"{ours}."), lambda path: path)
        kept |= {f"{theirs}.{key}": value for key, value in part.items()}
    for number, size in enumerate((256, 64)):
        kept[f"multiresddisc.discriminators.{number}.spec_fn.window"] = torch.ones(size)
    torch.save({"state_dict": kept, "global_step": 5}, folder / "last.ckpt")
    return folder / "last.ckpt"


def _descript(folder: Path, vocoder: Vocoder) -> Path:
    def name(path: str) -> str:
        _, number, *rest = melgan_discriminator(path, "layer", 6).split(".")
        return f"model.disc_{number}.model.layer_{'.'.join(rest[1:])}"

    generator = old_names(
        dict(vocoder.state_dict()), lambda path: melgan_generator(path, 3, "model", False)
    )
    torch.save(generator, folder / "best_netG.pt")
    against = old_names(vocoder.discriminators[PLAYER].state_dict(), name)
    torch.save(against, folder / "best_netD.pt")
    return folder / "best_netG.pt"


def _park(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(
        dict(vocoder.state_dict()), lambda path: melgan_generator(path, 3, "generator", True)
    )
    against = old_names(
        vocoder.discriminators[PLAYER].state_dict(),
        lambda path: melgan_discriminator(path, "discriminator", 6),
    )
    torch.save({"model_g": generator, "model_d": against, "step": 7}, folder / "nvidia.pt")
    return folder / "nvidia.pt"


def _pkl(folder: Path, generator: State, against: State, config: str) -> Path:
    model = {"generator": generator, "discriminator": against}
    torch.save({"model": model, "steps": 400_000}, folder / "checkpoint-400000steps.pkl")
    (folder / "config.yml").write_text(config)
    return folder / "checkpoint-400000steps.pkl"


def _pwg_hifigan(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(dict(vocoder.state_dict()), lambda path: _hayashis_generator(path, 2))
    against = old_names(vocoder.discriminators[PLAYER].state_dict(), _hayashis)
    return _pkl(folder, generator, against, _HAYASHIS_CONFIG)


def _pwg_melgan(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(
        dict(vocoder.state_dict()), lambda path: melgan_generator(path, 3, "melgan", False)
    )
    against = old_names(
        vocoder.discriminators[PLAYER].state_dict(),
        lambda path: melgan_discriminator(path, "layers", 6),
    )
    return _pkl(folder, generator, against, "generator_type: MelGANGenerator\n")


def _pwg_multiband_melgan(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(
        dict(vocoder.state_dict()), lambda path: melgan_generator(path, 2, "melgan", False)
    )
    against = old_names(
        vocoder.discriminators[PLAYER].state_dict(),
        lambda path: melgan_discriminator(path, "layers", 4),
    )
    config = "version: 0.6.1\ngenerator_type: MelGANGenerator\n"
    return _pkl(folder, generator, against, config + "generator_params: {out_channels: 4}\n")


_LAYER = {
    "dilated": "conv", "condition": "conv1x1_aux", "residual": "conv1x1_out",
    "skip": "conv1x1_skip",
}  # fmt: skip


def parallel_wavegan_generator(path: str) -> str:
    parts = path.split(".")
    if parts[0] == "layers":
        return f"conv_layers.{parts[1]}.{_LAYER[parts[2]]}"
    if path.startswith("upsampler.smooth."):
        return f"upsample_net.upsample.up_layers.{2 * int(parts[2]) + 1}"
    ends = {"conv_pre": "first_conv", "conv_skip": "last_conv_layers.1"}
    ends |= {"conv_post": "last_conv_layers.3", "upsampler.conv_in": "upsample_net.conv_in"}
    return ends[path]


def small_discriminator(path: str, layers: int) -> str:
    """Convolutions and activations take turns in one list."""
    last = 2 * (layers - 1)
    return f"conv_layers.{last if path == 'conv_post' else 2 * int(path.split('.')[1])}"


def _parallel_wavegan(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(dict(vocoder.state_dict()), parallel_wavegan_generator)
    against = old_names(
        vocoder.discriminators[PLAYER].state_dict(), lambda path: small_discriminator(path, 4)
    )
    config = "generator_params: {stacks: 2, upsample_params: {upsample_scales: [4, 4]}}\n"
    return _pkl(folder, generator, against, config)


def as_joint(state: State, against: State) -> State:
    """Within a joint_text2wav of ESPnet's."""
    return {
        **{f"tts.generator.vocoder.{key}": value for key, value in state.items()},
        **{f"tts.discriminator.{key}": value for key, value in against.items()},
        "tts.generator.text2mel.encoder.weight": torch.ones(2),
    }


def _espnet(folder: Path, vocoder: Vocoder) -> Path:
    generator = old_names(dict(vocoder.state_dict()), lambda path: _hayashis_generator(path, 2))
    against = old_names(vocoder.discriminators[PLAYER].state_dict(), _hayashis)
    torch.save(as_joint(generator, against), folder / "train.total_count.best.pth")
    (folder / "config.yaml").write_text(
        "tts: joint_text2wav\nfeats_extract: fbank\nnormalize: null\ntts_conf:\n"
        "  vocoder_type: hifigan_generator\n"
        "  vocoder_params: {resblock_dilations: [[1, 3, 5], [1, 3, 5]]}\n"
        "  discriminator_params:\n    periods: [2, 3, 5, 7, 11]\n"
        "    scale_discriminator_params: {downsample_scales: [4, 4, 4, 4, 1]}\n"
    )
    return folder / "train.total_count.best.pth"


@dataclass(frozen=True)
class Family:
    """A toolkit's files of one system.

    Attributes:
        form: what the importer calls them.
        name: our vocoder.
        changes: that make it small.
        write: puts a vocoder in training into a folder as the toolkit does; returns its file.
    """

    form: str
    name: str
    changes: dict[str, Any]
    write: Callable[[Path, Vocoder], Path]


_SMALL = tiny.SMALL
FAMILIES: dict[str, Family] = {
    "hifigan": Family("hifigan", "hifigan", _HIFIGAN, _hifigan),
    "bigvgan": Family(
        "bigvgan",
        "bigvgan",
        {
            **_SMALL["bigvgan"],
            "adversary": {
                "resolutions": ((128, 16, 64), (64, 8, 32), (32, 8, 32)),
                "width_divisor": 8,
            },
        },
        _bigvgan,
    ),
    "vocos": Family(
        "vocos",
        "vocos",
        {**_SMALL["vocos"], "adversary": {"fft_sizes": (256, 64), "width_divisor": 8}},
        _vocos,
    ),
    "melgan": Family("melgan", "melgan", _MELGAN, _descript),
    "melgan-seungwonpark": Family("melgan-seungwonpark", "melgan:seungwonpark", _MELGAN, _park),
    "pwg-hifigan": Family(
        "pwg-hifigan", "hifigan", {**_HIFIGAN, "adversary": HAYASHIS}, _pwg_hifigan
    ),
    "pwg-melgan": Family("pwg-melgan", "melgan", _MELGAN, _pwg_melgan),
    "pwg-multiband-melgan": Family(
        "pwg-multiband-melgan",
        "multiband_melgan",
        {**_SMALL["multiband_melgan"], "adversary_start": 0},
        _pwg_multiband_melgan,
    ),
    "parallel-wavegan": Family(
        "parallel-wavegan",
        "parallel_wavegan",
        {**_SMALL["parallel_wavegan"], "adversary_start": 0},
        _parallel_wavegan,
    ),
    "espnet": Family("pwg-hifigan", "hifigan", {**_HIFIGAN, "adversary": HAYASHIS}, _espnet),
}
