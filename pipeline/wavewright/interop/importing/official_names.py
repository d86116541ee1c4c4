"""Official state dicts of WaveNet, WaveRNN and WaveGlow, renamed to our keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from wavewright.nn.weight_norm import fold_weight_norm, rename_folded

_WAVENET = {
    "first_conv": "conv_pre",
    "embed_speakers": "voices",
    "upsample_net.conv_in": "upsampler.conv_in",
    "last_conv_layers.1": "conv_skip",
    "last_conv_layers.3": "conv_post",
}
_WAVENET_LAYER = {
    "conv": "dilated",
    "conv1x1c": "condition",
    "conv1x1g": "speaker",
    "conv1x1_out": "residual",
    "conv1x1_skip": "skip",
}
_WAVERNN = {
    "I": "enter",
    "upsample.resnet": "reader",
    "upsample.up_layers": "stretch.smooth",
    # the paper's cell
    "R": "recurrent",
    "O1": "coarse1",
    "O2": "coarse2",
    "O3": "fine1",
    "O4": "fine2",
    "I_coarse": "input_coarse",
    "I_fine": "input_fine",
}
_WAVEGLOW = {
    "start": "start",
    "end": "end",
    "cond_layer": "condition",
    "in_layers": "dilated",
    "res_skip_layers": "res_skip",
}


def rename_wavenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of r9y9's wavenet_vocoder."""

    def new_path(path: str) -> str | None:
        if path.startswith("conv_layers."):
            _, number, layer = path.split(".", 2)
            return f"layers.{number}.{_WAVENET_LAYER[layer]}"
        if path.startswith("upsample_net.upsample.up_layers."):
            number = path.rpartition(".")[2]
            return f"upsampler.smooth.{int(number) // 2}"
        return _WAVENET.get(path)

    return rename_folded(state, new_path)


def rename_wavernn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of either of fatchord's two networks, without its step count."""
    renamed = {}
    for key, value in state.items():
        path, _, attribute = key.rpartition(".")
        if key == "step":
            continue
        if path.startswith("upsample.up_layers."):
            path = f"stretch.smooth.{int(path.rpartition('.')[2]) // 2}"
        for official, ours in _WAVERNN.items():
            if path == official or path.startswith(f"{official}."):
                path = ours + path.removeprefix(official)
                break
        renamed[".".join(part for part in ("network", path, attribute) if part)] = value
    return renamed


def rename_waveglow(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of NVIDIA's WaveGlow, old or new, with weight norm folded.

    The older code has separate layers for residuals, for skips and for every condition; stacked,
    they equal those of the later code.
    """
    folded = fold_weight_norm({key.removeprefix("module."): value for key, value in state.items()})
    renamed = {}
    for key, value in _stack_layers(folded).items():
        if match := re.fullmatch(r"convinv\.(\d+)\.conv\.weight", key):
            renamed[f"mixing.{match[1]}.weight"] = value.squeeze(-1)
        elif match := re.fullmatch(r"WN\.(\d+)\.(\w+)\.(.+)", key):
            renamed[f"couplings.{match[1]}.{_WAVEGLOW[match[2]]}.{match[3]}"] = value
        elif key.startswith("upsample."):
            renamed[key.replace("upsample", "upsampler")] = value
    return renamed


def _stack_layers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stack the separate layers of WaveGlow's older code."""
    stacked, conditions = {}, dict[tuple[str, str], dict[int, Tensor]]()
    for key, value in state.items():
        match = re.fullmatch(r"(WN\.\d+)\.(cond|res|skip)_layers\.(\d+)\.(\w+)", key)
        if not match:
            stacked[key] = value
        elif match[2] == "cond":
            conditions.setdefault((match[1], match[4]), {})[int(match[3])] = value
        elif match[2] == "skip":
            residual = state.get(key.replace("skip_layers", "res_layers"))
            both = value if residual is None else torch.cat([residual, value])
            stacked[key.replace("skip_layers", "res_skip_layers")] = both
    for (network, attribute), layers in conditions.items():
        condition = torch.cat([layers[i] for i in sorted(layers)])
        stacked[f"{network}.cond_layer.{attribute}"] = condition
    return stacked
