"""WaveRNN (Kalchbrenner et al. 2018, arXiv:1802.08435): a recurrent network, sample by sample.

Two networks under one name. `dual-softmax` is the paper's: one cell whose halves say the coarse
and the fine byte of a 16-bit sample, dense or pruned in blocks (`sparse`). `mol` and `raw9` are
fatchord's, which most people mean by the name: two GRUs conditioned on mels, a mixture of
logistics or 9-bit mu-law; its state dicts load.

The paper conditions on linguistic features. Here the dual-softmax cell may also hear mels, through
fatchord's residual network: every frame's features are added to the gates for as long as the frame
lasts. That is our extension, and `conditioning: none` leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.kernels.folding import Folding
from wavewright.kernels.loop import Engine, FastLoop, Loop, Uniforms, Window
from wavewright.mel.spec import MelSpec
from wavewright.models.autoregressive import SequentialConfig, SequentialVocoder
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.nn.likelihood import (
    categorical_nll,
    draw_categorical,
    draw_logistics,
    logistics_nll,
    uniforms_of,
)
from wavewright.nn.mel_resnet import MelResidualNetwork
from wavewright.nn.noise import item_seeds
from wavewright.nn.pruning import PrunedLinear
from wavewright.nn.quantization import (
    HALF,
    Rounding,
    join16,
    label_value,
    mu_law_decode,
    mu_law_encode,
    split16,
)
from wavewright.nn.upsample_network import Stretch
from wavewright.nn.upsample_rates import fit_rates, require_rates

_SILENT = (HALF // 2, 0)  # the halves of 0; starting at (0, 0) would be a click of -32768
_LEVEL = 2**15


class Pruning(FrozenModel):
    """Which share of which blocks is pruned when.

    Source: Zhu and Gupta 2017, arXiv:1710.01878.

    Attributes:
        sparsity: share of the blocks that is gone at the end.
        block: rows and columns of a block.
        start, stop: steps between which the share rises by Zhu and Gupta's cubic.
        every: steps between two looks at the weights.
    """

    sparsity: float = Field(default=0.95, ge=0, lt=1)
    block: Literal["16x1", "4x4"] = "16x1"
    start: int = Field(default=1_000, ge=0)
    stop: int = Field(default=200_000, gt=0)
    every: int = Field(default=500, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"stop {self.stop} must lie after start {self.start}")
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        rows, columns = self.block.split("x")
        return int(rows), int(columns)

    def share(self, step: int) -> float:
        """Of the blocks that are gone at a step."""
        done = min(max((step - self.start) / (self.stop - self.start), 0.0), 1.0)
        return self.sparsity * (1 - (1 - done) ** 3)


class WaveRNNConfig(SequentialConfig):
    """fatchord's configuration for LJSpeech, 4.23 M parameters.

    Attributes:
        network: fatchord's two GRUs, or the paper's cell with two softmaxes, which may be
            conditioned on nothing.
        units: of each GRU, or of the cell, whose halves they are.
        head_channels: of fatchord's two last hidden layers.
        distribution: what fatchord's says; `categorical` is mu-law of so many bits.
        rounding: how a waveform becomes labels.
        mixtures: logistics that are mixed.
        log_scale_min: below which log scales are cut.
        reader_channels, reader_blocks, reader_out: of the residual network that reads mels.
        upsample_rates: of the smoothed mel, which only fatchord's hears besides.
        pruning: of the paper's cell and its output layers; None leaves them dense.
    """

    mel: MelSpec = MelSpec.preset("wavernn")
    network: Literal["fatchord", "dual-softmax"] = "fatchord"
    units: int = Field(default=512, gt=0, multiple_of=2)
    head_channels: int = Field(default=512, gt=0)
    distribution: Literal["categorical", "logistics"] = "logistics"
    bits: int = Field(default=9, gt=0, le=16)
    rounding: Rounding = "round"
    mixtures: int = Field(default=10, gt=0)
    log_scale_min: float = Field(default=math.log(1e-14), lt=0)
    reader_channels: int = Field(default=128, gt=0)
    reader_blocks: int = Field(default=10, gt=0)
    reader_out: int = Field(default=128, gt=0, multiple_of=4)
    upsample_rates: tuple[int, ...] = (5, 5, 11)
    pruning: Pruning | None = None
    learning_rate: float = 1e-4
    clip_norm: float | None = 4.0
    ema_decay: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network == "fatchord":
            require_rates(self.mel.hop_length, self.upsample_rates)
            if self.conditioning == "none":
                raise ValueError("network 'fatchord' must be conditioned on mels")
            if self.pruning:
                raise ValueError("pruning is for network 'dual-softmax'")
        elif self.pruning:
            rows, columns = self.pruning.shape
            if self.units % (2 * rows) or self.units % (2 * columns):
                raise ValueError(
                    f"units {self.units} must be a multiple of {2 * max(rows, columns)}, for "
                    f"blocks of {self.pruning.block}"
                )
        return self

    @property
    def classes(self) -> int:
        """Labels of a categorical network."""
        return int(2**self.bits)


class TwoGRUs(nn.Module):
    """fatchord's network."""

    def __init__(self, config: WaveRNNConfig) -> None:
        super().__init__()
        units, head = config.units, config.head_channels
        self.config, self.part = config, config.reader_out // 4
        bands = config.mel.n_mels
        self.reader = MelResidualNetwork(
            bands,
            config.reader_channels,
            config.reader_blocks,
            config.reader_out,
            config.context_frames,
        )
        self.stretch = Stretch(config.upsample_rates)
        self.enter = nn.Linear(1 + bands + self.part, units)
        self.rnn1 = nn.GRU(units, units, batch_first=True)
        self.rnn2 = nn.GRU(units + self.part, units, batch_first=True)
        self.fc1 = nn.Linear(units + self.part, head)
        self.fc2 = nn.Linear(head + self.part, head)
        categorical = config.distribution == "categorical"
        self.fc3 = nn.Linear(head, config.classes if categorical else 3 * config.mixtures)

    def condition(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """What the GRUs hear beside the samples.

        Args:
            mel: (B, n_mels, context + frames + context).

        Returns:
            (B, T, n_mels) smoothed, and (B, T, reader_out) read, T = frames * hop_length.
        """
        hop, context = self.config.mel.hop_length, self.config.context_frames
        read = self.reader(mel).repeat_interleave(hop, dim=-1)
        smooth = self.stretch(mel)[..., context * hop : (mel.shape[-1] - context) * hop]
        return smooth.mT, read.mT

    def forward(self, heard: Tensor, mel: Tensor) -> Tensor:
        """(B, T) samples, (B, n_mels, context + frames + context) -> (B, channels, T)."""
        smooth, read = (value[:, : heard.shape[1]] for value in self.condition(mel))
        logits, _ = self.run(heard, smooth, read, (None, None))
        return logits.mT

    def run(
        self,
        heard: Tensor,
        smooth: Tensor,
        read: Tensor,
        states: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T), (B, T, n_mels), (B, T, reader_out) -> (B, T, channels) and the GRUs' states."""
        first, second, third, fourth = read.chunk(4, dim=-1)
        x = self.enter(torch.cat([heard[..., None], smooth, first], dim=-1))
        said1, state1 = self.rnn1(x, states[0])
        x = x + said1
        said2, state2 = self.rnn2(torch.cat([x, second], dim=-1), states[1])
        x = x + said2
        x = F.relu(self.fc1(torch.cat([x, third], dim=-1)))
        x = F.relu(self.fc2(torch.cat([x, fourth], dim=-1)))
        return self.fc3(x), (state1, state2)


class DualSoftmax(nn.Module):
    """The paper's cell: coarse and fine halves of state share one recurrent matrix.

    A GRU, but for its masked input: every unit hears the last sample's two bytes, and the fine
    half also hears the coarse byte of the sample that is being made.
    """

    def __init__(self, config: WaveRNNConfig) -> None:
        super().__init__()
        units, half = config.units, config.units // 2
        block = config.pruning.shape if config.pruning else (1, 1)
        self.config, self.half_units, self.pruned = config, half, config.pruning is not None

        def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
            if self.pruned:
                return PrunedLinear(inputs, outputs, block, bias=bias)
            return nn.Linear(inputs, outputs, bias=bias)

        self.recurrent = linear(units, 3 * units, bias=False)
        self.bias_u, self.bias_r, self.bias_e = (nn.Parameter(torch.zeros(units)) for _ in range(3))
        self.input_coarse = nn.Linear(2, 3 * half, bias=False)
        self.input_fine = nn.Linear(3, 3 * half, bias=False)
        self.coarse1, self.coarse2 = linear(half, half), linear(half, HALF)
        self.fine1, self.fine2 = linear(half, half), linear(half, HALF)
        if config.conditioning == "mel":
            self.reader = MelResidualNetwork(
                config.mel.n_mels,
                config.reader_channels,
                config.reader_blocks,
                config.reader_out,
                config.context_frames,
            )
            self.condition = nn.Linear(config.reader_out, 3 * units, bias=False)

    def features(self, mel: Tensor) -> Tensor:
        """(B, n_mels, context + frames + context) -> (B, frames, 3 * units), added to the gates."""
        result: Tensor = self.condition(self.reader(mel).mT)
        return result

    def forward(self, coarse: Tensor, fine: Tensor, mel: Tensor | None) -> tuple[Tensor, Tensor]:
        """What each sample after the first may be, after the true ones before it.

        Args:
            coarse: (B, T + 1) bytes, the sample before the first included.
            fine: the same.
            mel: (B, n_mels, context + frames + context) of the last T samples.

        Returns:
            logits (B, 256, T) of the coarse and of the fine bytes.
        """
        return self.heads(self.states(coarse, fine, mel))

    def states(self, coarse: Tensor, fine: Tensor, mel: Tensor | None) -> Tensor:
        """(B, T, units) after each sample but the first; arguments as in `forward`."""
        heard = [coarse[:, :-1], fine[:, :-1], coarse[:, 1:]]
        x = torch.stack([label_value(byte, HALF) for byte in heard], dim=-1)
        weight = self.input_weight()
        if mel is not None:
            read = self.reader(mel).mT.repeat_interleave(self.config.mel.hop_length, dim=1)
            x = torch.cat([x, read[:, : x.shape[1]]], dim=-1)
            weight = torch.cat([weight, self.condition.weight], dim=1)
        return self._gru(x, weight)

    def input_weight(self) -> Tensor:
        """(3 * units, 3): gates u, r, e in turn, their coarse halves deaf to the third input."""
        coarse = F.pad(self.input_coarse.weight, (0, 1)).reshape(3, self.half_units, 3)
        fine = self.input_fine.weight.reshape(3, self.half_units, 3)
        return torch.cat([coarse, fine], dim=1).flatten(0, 1)

    def recurrent_weight(self) -> Tensor:
        """(3 * units, units), pruned as it stands."""
        layer = self.recurrent
        return layer.kept if isinstance(layer, PrunedLinear) else layer.weight

    def _gru(self, x: Tensor, input_weight: Tensor) -> Tensor:
        """torch's GRU is the same cell with its gates in another order: r, u, e."""

        def ordered(rows: Tensor) -> Tensor:
            u, r, e = rows.chunk(3)
            return torch.cat([r, u, e])

        bias = torch.cat([self.bias_r, self.bias_u, self.bias_e])
        weights = [
            ordered(input_weight),
            ordered(self.recurrent_weight()),
            bias,
            torch.zeros_like(bias),
        ]
        start = x.new_zeros(1, len(x), self.config.units)
        states: Tensor
        states, _ = torch._VF.gru(x, start, weights, True, 1, 0.0, False, False, True)
        return states

    def heads(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, units) -> (B, 256, T) twice."""
        coarse, fine = state.chunk(2, dim=-1)
        first = self.coarse2(F.relu(self.coarse1(coarse)))
        second = self.fine2(F.relu(self.fine1(fine)))
        return first.mT, second.mT


class WaveRNN(SequentialVocoder):
    """Either network, its likelihood and its schedule."""

    Config: ClassVar[type[ModelConfig]] = WaveRNNConfig
    config: WaveRNNConfig
    padding = "silence"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mol": {},
        "raw9": {"distribution": "categorical"},
        "dual-softmax": {"network": "dual-softmax", "conditioning": "none", "units": 896},
        "sparse": {"network": "dual-softmax", "units": 896, "pruning": {}},
    }

    def __init__(self, config: WaveRNNConfig, *, name: str = "wavernn") -> None:
        super().__init__(config, name=name)
        self.dual = config.network == "dual-softmax"
        self.uniforms = 2 if self.dual else uniforms_of(config.distribution, config.mixtures)
        self.network = DualSoftmax(config) if self.dual else TwoGRUs(config)

    @classmethod
    def fitted_to(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates whose product is the hop length; the paper's cell needs none."""
        if fields["network"] == "dual-softmax":
            return {}
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    def reference(self, batch: int) -> Loop:
        """The network one sample at a time, in PyTorch."""
        return (_DualLoop if self.dual else _TwoGRUsLoop)(self, batch)

    @torch.no_grad()
    def generate_folded(self, mel: Tensor, folding: Folding, *, seed: int | None = None) -> Tensor:
        """(1, n_mels, frames) -> (1, frames * hop_length), as a batch of folds in PyTorch."""
        if not isinstance(self.network, TwoGRUs):
            raise WavewrightError(f"'{self.name}' is not fatchord's network and makes no folds")
        self.check_mel(mel)
        frames = mel.shape[-1]
        context = self.own_context
        padded = self.padded(mel.to(self.device, torch.float32), context, context)
        heard = [folding.fold(values[0]) for values in self.network.condition(padded)]
        numbers = Uniforms(item_seeds(seed, len(heard[0])), self.uniforms).draw(folding.length)
        said = self.say_folds(heard[0], heard[1], numbers, folding)
        said = said[None, : frames * self.hop_length].clamp(-1.0, 1.0)  # two folds add up
        return self.postprocess(said.float())

    def say_folds(self, smooth: Tensor, read: Tensor, uniforms: Tensor, folding: Folding) -> Tensor:
        """Folds of what is heard beside the samples -> (samples) float64."""
        loop = _TwoGRUsLoop(self, len(smooth))
        return folding.unfold(loop.speak(smooth, read, uniforms).cpu())

    def fast(self, engine: Engine) -> FastLoop:
        """The compiled loop."""
        if self.dual:
            from wavewright.kernels.dual_softmax import FastDualSoftmax

            return FastDualSoftmax(self, engine)
        from wavewright.kernels.wavernn import FastWaveRNN

        return FastWaveRNN(self, engine)

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam at a constant rate, gradients clipped."""
        config = self.config
        return OptimizerConfig(
            learning_rate=config.learning_rate,
            clip_norm=config.clip_norm,
            ema_decay=config.ema_decay,
        )

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One: the likelihood of every sample after the true ones; blocks are pruned before it."""
        logs: dict[str, float | Tensor] = {}
        pruning = self.config.pruning
        if pruning is not None:
            logs["sparsity"] = pruning.share(step)
            if step % pruning.every == 0:
                self.prune(pruning.share(step))
        nats = self._nats(batch).mean()
        yield Update("generator", nats, {"bits_per_sample": nats / math.log(2), **logs})

    def prune(self, share: float) -> None:
        """Mask the given share of every prunable layer's blocks away."""
        for layer in self.modules():
            if isinstance(layer, PrunedLinear):
                layer.prune(share)

    @torch.no_grad()
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """(B) of the waveforms' 16-bit levels, or of mu-law's labels."""
        return self._nats(batch).mean(dim=1) / math.log(2)

    def encoded(self, batch: Batch) -> Tensor:
        """Labels or samples (B, T), or both bytes of every sample (B, T, 2)."""
        if self.dual:
            return torch.stack(_bytes(batch.wav), dim=-1)
        if self.config.distribution == "logistics":
            return batch.wav
        return mu_law_encode(batch.wav, self.config.classes, self.config.rounding)

    def likelihood(self, batch: Batch, expected: Tensor) -> Tensor:
        """Bits per sample of what a loop expected."""
        return self._nll(expected, self.encoded(batch)).mean(dim=1) / math.log(2)

    def _nats(self, batch: Batch) -> Tensor:
        said = self.encoded(batch)
        if isinstance(self.network, DualSoftmax):
            mel = self.with_context(batch) if self.conditioning == "mel" else None
            before = (
                F.pad(byte, (1, 0), value=silent)
                for byte, silent in zip(said.unbind(dim=-1), _SILENT, strict=True)
            )
            return self._nll(torch.cat(self.network(*before, mel), dim=1), said)
        heard, mel = said[:, :-1], self.with_context(batch)
        if self.config.distribution == "categorical":
            heard = label_value(heard, self.config.classes)
        return self._nll(self.network(heard, mel), said[:, 1:])

    def _nll(self, expected: Tensor, said: Tensor) -> Tensor:
        """(B, channels, T) and what `encoded` gives -> (B, T) nats."""
        if self.dual:
            coarse, fine = expected.chunk(2, dim=1)
            return categorical_nll(coarse, said[..., 0]) + categorical_nll(fine, said[..., 1])
        if self.config.distribution == "categorical":
            return categorical_nll(expected, said)
        return logistics_nll(expected, said, self.config.log_scale_min)

    def inference_state(self) -> dict[str, Tensor]:
        """Pruned weights as zeros, without their masks."""
        state = super().inference_state()
        for name, layer in self.named_modules():
            if isinstance(layer, PrunedLinear):
                state[f"{name}.weight"] = state[f"{name}.weight"] * layer.spread(layer.mask)
                del state[f"{name}.mask"]
        return state

    def load_inference_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `inference_state` gave; blocks of zeros are pruned and stay so."""
        masks = {
            f"{name}.mask": layer.mask
            for name, layer in self.named_modules()
            if isinstance(layer, PrunedLinear)
        }
        super().load_inference_state({**state, **masks})
        for layer in self.modules():
            if isinstance(layer, PrunedLinear):
                layer.find_mask()


def _bytes(wav: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) -> coarse and fine bytes of its 16-bit levels."""
    return split16((wav * _LEVEL).round().clamp(-_LEVEL, _LEVEL - 1))


class _TwoGRUsLoop:
    """fatchord's network with its states kept."""

    def __init__(self, vocoder: WaveRNN, batch: int) -> None:
        assert isinstance(vocoder.network, TwoGRUs)
        self.network, self.config = vocoder.network, vocoder.config
        self.heard = torch.zeros(batch, 1, device=vocoder.device)
        self.states: tuple[Tensor | None, Tensor | None] = (None, None)

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        assert window.mel is not None
        skip = window.before * self.config.mel.hop_length
        smooth, read = (value[:, skip:] for value in self.network.condition(window.mel))
        return self.speak(smooth, read, uniforms)

    def speak(self, smooth: Tensor, read: Tensor, uniforms: Tensor) -> Tensor:
        """What is heard beside the samples, and numbers (B, T, n) -> (B, T)."""
        config, said = self.config, []
        for t, numbers in enumerate(uniforms.to(self.heard.device).unbind(dim=1)):
            here = slice(t, t + 1)
            out, self.states = self.network.run(
                self.heard, smooth[:, here], read[:, here], self.states
            )
            if config.distribution == "logistics":
                drawn = draw_logistics(out[:, 0], numbers, config.log_scale_min)
            else:
                drawn = label_value(draw_categorical(out[:, 0], numbers), config.classes)
            self.heard = drawn[:, None]
            said.append(drawn)
        wav = torch.stack(said, dim=1)
        if config.distribution == "logistics":
            return wav
        return mu_law_decode((wav + 1) / 2 * (config.classes - 1), config.classes)


class _DualLoop:
    """The paper's cell: the coarse byte first, and the fine one knowing it."""

    def __init__(self, vocoder: WaveRNN, batch: int) -> None:
        assert isinstance(vocoder.network, DualSoftmax)
        self.network, self.hop = vocoder.network, vocoder.hop_length
        self.state = torch.zeros(batch, vocoder.config.units, device=vocoder.device)
        self.coarse, self.fine = (
            torch.full((batch,), byte, device=vocoder.device) for byte in _SILENT
        )
        self.weight = self.network.recurrent_weight()

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        features, said = None, []
        if window.mel is not None:
            features = self.network.features(window.mel)[:, window.before :]
        for t, numbers in enumerate(uniforms.to(self.state.device).unbind(dim=1)):
            frame = 0.0 if features is None else features[:, t // self.hop]
            self.step(frame, numbers)
            said.append(join16(self.coarse, self.fine))
        return torch.stack(said, dim=1) / _LEVEL

    def step(self, frame: Tensor | float, uniforms: Tensor) -> None:
        """Say one sample: `frame` (B, 3 * units) is added to the gates."""
        network, half = self.network, self.network.half_units
        ones = uniforms.shape[1] // 2
        biases = torch.cat([network.bias_u, network.bias_r, network.bias_e])
        heard = torch.stack([label_value(self.coarse, HALF), label_value(self.fine, HALF)], dim=1)
        weight = network.input_weight()
        given = heard @ weight[:, :2].mT + biases + frame
        remembered = self.state @ self.weight.mT
        coarse = self._half(given, remembered, slice(None, half))
        logits = network.coarse2(F.relu(network.coarse1(coarse)))
        self.coarse = draw_categorical(logits, uniforms[:, :ones])
        given = given + label_value(self.coarse, HALF)[:, None] * weight[:, 2]
        fine = self._half(given, remembered, slice(half, None))
        logits = network.fine2(F.relu(network.fine1(fine)))
        self.fine = draw_categorical(logits, uniforms[:, ones:])
        self.state = torch.cat([coarse, fine], dim=1)

    def _half(self, given: Tensor, remembered: Tensor, part: slice) -> Tensor:
        """One half of the new state."""
        u_in, r_in, e_in = (gate[:, part] for gate in given.chunk(3, dim=1))
        u_past, r_past, e_past = (gate[:, part] for gate in remembered.chunk(3, dim=1))
        update = torch.sigmoid(u_in + u_past)
        reset = torch.sigmoid(r_in + r_past)
        new = torch.tanh(e_in + reset * e_past)
        result: Tensor = update * self.state[:, part] + (1 - update) * new
        return result


_FATCHORD = {
    "I": "enter",
    "upsample.resnet": "reader",
    "upsample.up_layers": "stretch.smooth",
}
_DEEPMIND = {
    "R": "recurrent",
    "O1": "coarse1",
    "O2": "coarse2",
    "O3": "fine1",
    "O4": "fine2",
    "I_coarse": "input_coarse",
    "I_fine": "input_fine",
}


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of either of fatchord's two networks in our names; the step count is left out."""
    renamed = {}
    for key, value in state.items():
        path, _, attribute = key.rpartition(".")
        if key == "step":
            continue
        if path.startswith("upsample.up_layers."):
            path = f"stretch.smooth.{int(path.rpartition('.')[2]) // 2}"
        for theirs, ours in (*_FATCHORD.items(), *_DEEPMIND.items()):
            if path == theirs or path.startswith(f"{theirs}."):
                path = ours + path.removeprefix(theirs)
                break
        renamed[".".join(part for part in ("network", path, attribute) if part)] = value
    return renamed
