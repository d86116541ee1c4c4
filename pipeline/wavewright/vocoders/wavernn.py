"""WaveRNN (Kalchbrenner et al. 2018, arXiv:1802.08435): a recurrent network, sample by sample.

Two networks under one name. `dual-softmax` is the paper's: one cell whose halves predict the coarse
and the fine byte of a 16-bit sample, dense or pruned in blocks (`sparse`). `mol` and `raw9` are
fatchord's, which most people mean by the name: two GRUs conditioned on mels, with a mixture of
logistics or 9-bit mu-law as output; its state dicts can be imported.

The paper conditions on linguistic features. Conditioning the dual-softmax cell on mels is our
extension; `conditioning: none` leaves it out. The networks are in `nn.dual_softmax` and
`nn.two_grus`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.kernels.folding import Folding
from wavewright.kernels.loop import CompiledLoop, Engine, Loop, LoopWindow, UniformSampler
from wavewright.mel.spec import MelSpec
from wavewright.models.autoregressive import AutoregressiveConfig, AutoregressiveVocoder
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.models.pruning import Pruning
from wavewright.nn.dual_softmax import SILENT_BYTES, DualSoftmax, DualSoftmaxSampler
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
    Rounding,
    join16,
    label_value,
    mu_law_decode,
    mu_law_encode,
    split16,
)
from wavewright.nn.two_grus import TwoGRUs
from wavewright.nn.upsample_rates import fit_rates, require_rates

_LEVELS = 2**15  # 16-bit levels on either side of 0


class WaveRNNConfig(AutoregressiveConfig):
    """fatchord's configuration for LJSpeech, 4.23 M parameters.

    Attributes:
        network: fatchord's two GRUs, or the paper's cell with two softmaxes, which may be
            unconditional.
        units: units of each GRU, or of both halves of the cell together.
        head_channels: channels of the two last hidden layers of fatchord's network.
        distribution: output of fatchord's network; `categorical` is mu-law of `bits` bits.
        rounding: mu-law convention.
        mixtures: number of logistics in the mixture.
        log_scale_min: lower bound of log scales.
        reader_channels, reader_blocks, reader_out: sizes of the residual network that reads mels.
        upsample_rates: rates of the mel upsampling, which only fatchord's network has.
        pruning: schedule for the paper's cell and its output layers; None leaves them dense.
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
        """Number of labels of a categorical network."""
        return int(2**self.bits)

    @property
    def out_channels(self) -> int:
        """Number of parameters of the output distribution of fatchord's network."""
        return self.classes if self.distribution == "categorical" else 3 * self.mixtures

    def build_reader(self) -> MelResidualNetwork:
        """New residual network that reads mels."""
        return MelResidualNetwork(
            self.mel.n_mels,
            self.reader_channels,
            self.reader_blocks,
            self.reader_out,
            self.context_frames,
        )


class WaveRNN(AutoregressiveVocoder):
    """Vocoder with either network, its likelihood and its training schedule."""

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
        self.network: DualSoftmax | TwoGRUs
        if self.dual:
            self.uniforms_per_sample = 2
            self.network = DualSoftmax(
                config.units,
                config.pruning.shape if config.pruning else None,
                config.build_reader if config.conditioning == "mel" else None,
                config.reader_out,
                config.mel.hop_length,
            )
        else:
            self.uniforms_per_sample = uniforms_of(config.distribution, config.mixtures)
            self.network = TwoGRUs(
                n_mels=config.mel.n_mels,
                units=config.units,
                head_channels=config.head_channels,
                out_channels=config.out_channels,
                build_reader=config.build_reader,
                reader_channels=config.reader_out,
                upsample_rates=config.upsample_rates,
                context_frames=config.context_frames,
            )

    @classmethod
    def fitted_to(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Upsampling rates whose product is the hop length; the paper's cell has none."""
        if fields["network"] == "dual-softmax":
            return {}
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    def reference_loop(self, batch: int) -> Loop:
        """Build the PyTorch loop for a batch."""
        return (_DualSoftmaxLoop if self.dual else _TwoGRUsLoop)(self, batch)

    def compiled_loop(self, engine: Engine) -> CompiledLoop:
        """Build the compiled loop for one utterance."""
        config, network = self.config, self.network
        state = {
            key.removeprefix("network."): value for key, value in self.inference_state().items()
        }
        if isinstance(network, DualSoftmax):
            from wavewright.kernels.dual_softmax import CompiledDualSoftmax

            return CompiledDualSoftmax(
                state,
                network.input_weight(),
                network.features,
                self.hop_length,
                config.pruning.shape if config.pruning else None,
                engine,
            )
        from wavewright.kernels.wavernn import CompiledTwoGRUs

        return CompiledTwoGRUs(config, state, network.reader, network.stretch, engine)

    @torch.no_grad()
    def generate_folded(self, mel: Tensor, folding: Folding, *, seed: int | None = None) -> Tensor:
        """(1, n_mels, frames) -> (1, frames * hop_length), as a batch of folds in PyTorch."""
        if not isinstance(self.network, TwoGRUs):
            raise WavewrightError(
                f"'{self.name}': only fatchord's network, as in wavernn:mol, generates in folds"
            )
        self.check_mel(mel)
        frames = mel.shape[-1]
        context = self.own_context
        padded = self.pad_mel(mel.to(self.device, torch.float32), context, context)
        smooth, read = (folding.fold(values[0]) for values in self.network.condition(padded))
        sampler = UniformSampler(item_seeds(seed, len(smooth)), self.uniforms_per_sample)
        wav = self.generate_folds(smooth, read, sampler.draw(folding.length), folding)
        wav = wav[None, : frames * self.hop_length].clamp(-1.0, 1.0)  # cross-fades may exceed 1
        return self.postprocess(wav.float())

    def generate_folds(
        self, smooth: Tensor, read: Tensor, uniforms: Tensor, folding: Folding
    ) -> Tensor:
        """Generate all folds as a batch and join them.

        Args:
            smooth: (folds, length, n_mels), the smoothed mel.
            read: (folds, length, reader_out), the features read from the mel.
            uniforms: (folds, length, uniforms_per_sample).
            folding: lengths of the folds.

        Returns:
            (samples) float64.
        """
        loop = _TwoGRUsLoop(self, len(smooth))
        return folding.unfold(loop.generate(smooth, read, uniforms).cpu())

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam at a constant rate, with gradient clipping."""
        config = self.config
        return OptimizerConfig(
            learning_rate=config.learning_rate,
            clip_norm=config.clip_norm,
            ema_decay=config.ema_decay,
        )

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """Prune if due, then yield the negative log-likelihood under teacher forcing."""
        logs: dict[str, float | Tensor] = {}
        pruning = self.config.pruning
        if pruning is not None:
            logs["sparsity"] = pruning.share(step)
            if step % pruning.every == 0:
                self.prune(pruning.share(step))
        nats = self._nats(batch).mean()
        yield Update("generator", nats, {"bits_per_sample": nats / math.log(2), **logs})

    def prune(self, share: float) -> None:
        """Mask a share of the blocks of every prunable layer."""
        for layer in self.modules():
            if isinstance(layer, PrunedLinear):
                layer.prune(share)

    @torch.no_grad()
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """Bits per sample (B): of 16-bit levels, or of mu-law labels."""
        return self._nats(batch).mean(dim=1) / math.log(2)

    def targets(self, batch: Batch) -> Tensor:
        """Labels or samples (B, T), or both bytes of every sample (B, T, 2)."""
        if self.dual:
            return torch.stack(_split_bytes(batch.wav), dim=-1)
        if self.config.distribution == "logistics":
            return batch.wav
        return mu_law_encode(batch.wav, self.config.classes, self.config.rounding)

    def bits_from_logits(self, batch: Batch, logits: Tensor) -> Tensor:
        """Bits per sample (B) under the logits of a teacher-forced loop."""
        return self._nll(logits, self.targets(batch)).mean(dim=1) / math.log(2)

    def _nats(self, batch: Batch) -> Tensor:
        targets = self.targets(batch)
        if isinstance(self.network, DualSoftmax):
            mel = self.mel_with_context(batch) if self.conditioning == "mel" else None
            previous = (
                F.pad(byte, (1, 0), value=silent)
                for byte, silent in zip(targets.unbind(dim=-1), SILENT_BYTES, strict=True)
            )
            return self._nll(torch.cat(self.network(*previous, mel), dim=1), targets)
        inputs, mel = targets[:, :-1], self.mel_with_context(batch)
        if self.config.distribution == "categorical":
            inputs = label_value(inputs, self.config.classes)
        return self._nll(self.network(inputs, mel), targets[:, 1:])

    def _nll(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (B, channels, T) and targets (B, T, ...) -> nats (B, T)."""
        if self.dual:
            coarse, fine = logits.chunk(2, dim=1)
            return categorical_nll(coarse, targets[..., 0]) + categorical_nll(fine, targets[..., 1])
        if self.config.distribution == "categorical":
            return categorical_nll(logits, targets)
        return logistics_nll(logits, targets, self.config.log_scale_min)

    def inference_state(self) -> dict[str, Tensor]:
        """State dict for inference: pruned weights are zero, and masks are left out."""
        state = super().inference_state()
        for name, layer in self.named_modules():
            if isinstance(layer, PrunedLinear):
                state[f"{name}.weight"] = state[f"{name}.weight"] * layer.spread(layer.mask)
                del state[f"{name}.mask"]
        return state

    def load_inference_state(self, state: Mapping[str, Tensor]) -> None:
        """Load an `inference_state`; blocks of zeros count as pruned."""
        masks = {
            f"{name}.mask": layer.mask
            for name, layer in self.named_modules()
            if isinstance(layer, PrunedLinear)
        }
        super().load_inference_state({**state, **masks})
        for layer in self.modules():
            if isinstance(layer, PrunedLinear):
                layer.find_mask()


def _split_bytes(wav: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) waveforms -> coarse and fine bytes of their 16-bit levels."""
    return split16((wav * _LEVELS).round().clamp(-_LEVELS, _LEVELS - 1))


class _TwoGRUsLoop:
    """PyTorch loop of fatchord's network."""

    def __init__(self, vocoder: WaveRNN, batch: int) -> None:
        assert isinstance(vocoder.network, TwoGRUs)
        self.network, self.config = vocoder.network, vocoder.config
        self.last_sample = torch.zeros(batch, 1, device=vocoder.device)
        self.states: tuple[Tensor | None, Tensor | None] = (None, None)

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        assert window.mel is not None
        skip = window.before * self.config.mel.hop_length
        smooth, read = (value[:, skip:] for value in self.network.condition(window.mel))
        return self.generate(smooth, read, uniforms)

    def generate(self, smooth: Tensor, read: Tensor, uniforms: Tensor) -> Tensor:
        """Generate (B, T) samples from `condition`'s outputs and uniform numbers (B, T, n)."""
        config, samples = self.config, []
        for t, step_uniforms in enumerate(uniforms.to(self.last_sample.device).unbind(dim=1)):
            now = slice(t, t + 1)
            logits, self.states = self.network.run(
                self.last_sample, smooth[:, now], read[:, now], self.states
            )
            if config.distribution == "logistics":
                sample = draw_logistics(logits[:, 0], step_uniforms, config.log_scale_min)
            else:
                label = draw_categorical(logits[:, 0], step_uniforms)
                sample = label_value(label, config.classes)
            self.last_sample = sample[:, None]
            samples.append(sample)
        wav = torch.stack(samples, dim=1)
        if config.distribution == "logistics":
            return wav
        return mu_law_decode((wav + 1) / 2 * (config.classes - 1), config.classes)


class _DualSoftmaxLoop:
    """PyTorch loop of the paper's cell."""

    def __init__(self, vocoder: WaveRNN, batch: int) -> None:
        assert isinstance(vocoder.network, DualSoftmax)
        self.network, self.hop_length = vocoder.network, vocoder.hop_length
        self.sampler = DualSoftmaxSampler(self.network, batch)

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        features, samples = None, []
        if window.mel is not None:
            features = self.network.features(window.mel)[:, window.before :]
        for t, step_uniforms in enumerate(uniforms.to(self.sampler.state.device).unbind(dim=1)):
            frame = 0.0 if features is None else features[:, t // self.hop_length]
            self.sampler.step(frame, step_uniforms)
            samples.append(join16(self.sampler.coarse, self.sampler.fine))
        return torch.stack(samples, dim=1) / _LEVELS
