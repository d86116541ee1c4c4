"""Weight norm: added for training, folded away for inference and in published files.

Checkpoints of the field come in three spellings, all read here: plain `weight`, the old
`weight_g` and `weight_v`, and torch's `parametrizations.weight.original0` and `original1`.
Salimans and Kingma 2016, arXiv:1602.07868.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from wavewright.errors import WavewrightError

_NEW_G, _NEW_V = "parametrizations.weight.original0", "parametrizations.weight.original1"


def add_weight_norm(module: nn.Module) -> None:
    """Reparametrise every convolution below `module`, keeping its weights' values."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.conv._ConvNd) and not parametrize.is_parametrized(layer):
            parametrizations.weight_norm(layer)


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict with every weight-normed weight multiplied out, under its plain name.

    Raises:
        WavewrightError: a length and its direction do not belong together.
    """
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(_NEW_V):
            continue
        if key.endswith("weight_v") and key.removesuffix("v") + "g" in state:
            continue  # alone, it belongs to the old spectral norm and stays
        if key.endswith(_NEW_G):
            stem, v = key.removesuffix(_NEW_G), key.removesuffix(_NEW_G) + _NEW_V
        elif key.endswith("weight_g"):
            stem, v = key.removesuffix("weight_g"), key.removesuffix("_g") + "_v"
        else:
            folded[key] = value
            continue
        direction = state[v]
        _require_pair(stem, value, direction)
        folded[stem + "weight"] = torch._weight_norm(direction, value, 0)
    return folded


def _require_pair(stem: str, length: Tensor, direction: Tensor) -> None:
    """Other shapes would make torch write beyond its memory."""
    fits = direction.ndim and length.shape == (len(direction), *[1] * (direction.ndim - 1))
    if not fits or length.dtype != direction.dtype or not length.is_floating_point():
        raise WavewrightError(
            f"the weight norm of '{stem}weight' has lengths {tuple(length.shape)} of "
            f"{length.dtype} for directions {tuple(direction.shape)} of {direction.dtype}"
        )


def rename_folded(
    state: Mapping[str, Tensor], name_of: Callable[[str], str | None]
) -> dict[str, Tensor]:
    """Somebody else's state dict, weight norm in any spelling, as plain weights in our names.

    Args:
        state: theirs.
        name_of: our path of a module by theirs; None leaves a module's tensors out.
    """
    renamed = {}
    for key, value in fold_weight_norm(state).items():
        path, _, attribute = key.rpartition(".")
        name = name_of(path)
        if name is not None:
            renamed[f"{name}.{attribute}"] = value
    return renamed


def _give_back(layer: nn.Module, weight: Tensor) -> None:
    """Make a weight-normed layer's weight the given one to the last bit.

    Folding divides by a length that it sums in another order than splitting does, and so is off by
    a rounding; with the length that folding finds, it multiplies by one.
    """
    state = dict(layer.named_parameters())
    if _NEW_G in state and state[_NEW_G].device.type in ("cpu", "cuda"):  # that have this kernel
        given = weight.to(state[_NEW_G])
        _, length = torch._weight_norm_interface(given, state[_NEW_G], 0)
        state[_NEW_G].copy_(length)


def load_folded(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load plain weights into a module, weight-normed or not.

    Raises:
        WavewrightError: naming missing, unexpected and wrongly shaped keys.
    """
    own = fold_weight_norm(module.state_dict())
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        raise WavewrightError(
            f"the weights do not fit: missing {missing[:5]}, unexpected {unexpected[:5]}"
        )
    for key, value in own.items():
        if value.shape != state[key].shape:
            raise WavewrightError(
                f"the weights do not fit: {key} is {tuple(state[key].shape)}, "
                f"expected {tuple(value.shape)}"
            )
    layers = dict(module.named_modules())
    with torch.no_grad():
        for key, value in state.items():
            path, _, attribute = key.rpartition(".")
            layer = layers[path]
            if attribute == "weight" and parametrize.is_parametrized(layer, "weight"):
                layer.weight = value  # torch splits it into direction and length
                _give_back(layer, value)
            else:
                getattr(layer, attribute).copy_(value)
