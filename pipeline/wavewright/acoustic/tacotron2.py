"""Tacotron 2 (Shen et al. 2017, arXiv:1712.05884), in NVIDIA's configuration.

Text passes through convolutions and a bidirectional LSTM; a decoder with location-sensitive
attention predicts a few frames per step, fed with its own last frame through a narrow prenet
whose dropout is always on; a gate predicts the end; a postnet adds detail. Details that the paper
leaves open follow NVIDIA/tacotron2 at 185cd24.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.add_speakers import add_speakers
from wavewright.acoustic.attention import (
    LocationSensitiveAttention,
    Memory,
    attention_distance_loss,
    guided_attention_loss,
)
from wavewright.acoustic.tacotron2_config import Tacotron2Config
from wavewright.acoustic.tacotron2_layers import (
    Decoder,
    DecoderOutput,
    Encoder,
    Postnet,
    Prenet,
    init_xavier,
)
from wavewright.acoustic.text_input import TextModel
from wavewright.errors import WavewrightError, shorten_list
from wavewright.mel.transform import silent_mel
from wavewright.models.acoustic import AcousticModel, AcousticOutput, TextBatch
from wavewright.models.base import Update
from wavewright.models.config import ModelConfig, OptimizerConfig


class Tacotron2(TextModel):
    """Tacotron 2: network, losses, free-running and teacher-forced synthesis."""

    Config: ClassVar[type[ModelConfig]] = Tacotron2Config
    config: Tacotron2Config
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nvidia": {},
        "small": {
            "frames_per_step": 3,
            "encoder_width": 256,
            "prenet_width": 128,
            "attention_rnn_width": 256,
            "attention_width": 64,
            "decoder_rnn_width": 256,
            "postnet_width": 128,
            "mel_shift": -5.0,
            "mel_scale": 2.0,
            "guided_attention": 1.0,
            "guided_attention_steps": 500,
            "aligned_attention": 1.0,
            "frame_dropout": 0.2,
            "gate_end_weight": 8.0,
        },
    }

    def __init__(self, config: Tacotron2Config, *, name: str = "tacotron2") -> None:
        super().__init__(config, name=name)
        width = config.encoder_width
        self.embedding = nn.Embedding(len(config.symbols), width)
        bound = math.sqrt(6 / (len(config.symbols) + width))
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        self.encoder = Encoder(
            width, config.encoder_convolutions, config.encoder_kernel, config.encoder_dropout
        )
        if config.speakers:
            self.speaker_embedding = nn.Embedding(len(config.speakers), config.speaker_width)
        self.decoder = Decoder(
            config.mel.n_mels,
            config.frames_per_step,
            memory_width=_memory_width(config),
            prenet=Prenet(config.mel.n_mels, config.prenet_width, config.prenet_dropout),
            prenet_width=config.prenet_width,
            attention=_attention(config),
            attention_rnn_width=config.attention_rnn_width,
            attention_rnn_dropout=config.attention_rnn_dropout,
            decoder_rnn_width=config.decoder_rnn_width,
            decoder_rnn_dropout=config.decoder_rnn_dropout,
        )
        self.postnet = Postnet(
            config.mel.n_mels,
            config.postnet_width,
            config.postnet_convolutions,
            config.postnet_kernel,
            config.postnet_dropout,
        )

    @property
    def uses_alignment_targets(self) -> bool:
        """True if alignment targets are part of the loss."""
        return self.config.aligned_attention > 0

    def forward(
        self, batch: TextBatch, masks: Tensor | None = None
    ) -> tuple[DecoderOutput, Tensor]:
        """Teacher-force a batch.

        Args:
            batch: texts and natural mels.
            masks: dropout masks of the prenet, (steps, B, layers, width); None draws them from
                torch's global generator.

        Returns:
            Output of the decoder; and mel after the postnet, (B, n_mels, steps *
            frames_per_step). Both are in the network's scale and undefined beyond each
            utterance's end.
        """
        mel = self.targets(batch)
        last_frames = mel[:, :, self.config.frames_per_step - 1 :: self.config.frames_per_step]
        frames = F.pad(last_frames[:, :, :-1], (1, 0)).permute(2, 0, 1)  # zeros at the first step
        if self.training and self.config.frame_dropout:
            frames = frames * (torch.rand_like(frames[:, :, :1]) >= self.config.frame_dropout)
        memory = self.encode_memory(batch.text, batch.text_lengths, batch.speaker)
        decoded = self.decoder(memory, frames, masks)
        return decoded, self._apply_postnet(decoded.mel, self._padded_frames(batch))

    def targets(self, batch: TextBatch) -> Tensor:
        """Natural mels in the network's scale, padded with silence to whole decoder steps."""
        missing = -batch.mel.shape[2] % self.config.frames_per_step
        silence = torch.from_numpy(silent_mel(self.mel_spec, missing)).to(batch.mel)
        mel = torch.cat([batch.mel, silence.expand(len(batch.mel), -1, -1)], dim=2)
        return (mel - self.config.mel_shift) / self.config.mel_scale

    def encode_memory(self, text: Tensor, lengths: Tensor, speaker: Tensor | None = None) -> Memory:
        """Encode symbol indices (B, symbols) of the given lengths (B,) and speakers (B,)."""
        valid = self._valid_mask(text.shape[1], lengths)
        embedded = self.embedding(text).transpose(1, 2)
        encoded = self.encoder(embedded, lengths, valid)
        if self.speakers:
            if speaker is None:
                raise WavewrightError(f"'{self.name}' has several speakers: the batch names none")
            voice = self.speaker_embedding(speaker)[:, None, :]
            mask = _length_mask(text.shape[1], lengths)[:, :, None]
            encoded = torch.cat([encoded, voice * mask], dim=2)
        return self.decoder.attention_layer.project_memory(encoded, lengths)

    def _step_targets(self, targets: Tensor) -> Tensor:
        """Alignment targets of decoder steps, (B, frames) -> (B, steps): the mean of each step."""
        missing = -targets.shape[1] % self.config.frames_per_step
        padded = F.pad(targets, (0, missing), value=torch.nan)
        return padded.reshape(len(targets), -1, self.config.frames_per_step).mean(dim=2)

    def _apply_postnet(self, mel: Tensor, ends: Tensor) -> Tensor:
        refined: Tensor = mel + self.postnet(mel, self._valid_mask(mel.shape[2], ends))
        return refined

    def _valid_mask(self, length: int, lengths: Tensor) -> Tensor | None:
        """Mask (B, 1, length), 1 within each utterance; None if padding is not ignored."""
        if not self.config.ignore_padding:
            return None
        return _length_mask(length, lengths)[:, None, :].float()

    def _decoder_steps(self, batch: TextBatch) -> Tensor:
        """Decoder steps of each utterance, (B,)."""
        return (batch.mel_lengths + self.config.frames_per_step - 1) // self.config.frames_per_step

    def _padded_frames(self, batch: TextBatch) -> Tensor:
        """Frames of each utterance, rounded up to whole steps, (B,)."""
        return self._decoder_steps(batch) * self.config.frames_per_step

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam with weight decay and clipped gradients."""
        return OptimizerConfig(
            learning_rate=self.config.learning_rate,
            decay_per_epoch=self.config.learning_rate_decay,
            weight_decay=self.config.weight_decay,
            clip_norm=self.config.clip_norm,
        )

    def updates(self, batch: TextBatch, step: int) -> Iterator[Update]:
        """Yield the one update of a step, with the losses of `losses`."""
        losses = self.losses(batch, *self(batch))
        if "attention" in losses and self.config.guided_attention_steps:
            fade = max(0.0, 1 - step / self.config.guided_attention_steps)
            losses["attention"] = losses["attention"] * fade
        yield Update(
            "generator",
            torch.stack(list(losses.values())).sum(),
            {name: loss.detach() for name, loss in losses.items()},
        )

    def losses(
        self, batch: TextBatch, decoded: DecoderOutput, refined: Tensor
    ) -> dict[str, Tensor]:
        """Terms of the loss by name, from the outputs of `forward`.

        Means are over the padded batch, as published; padding contributes zero.
        """
        target, steps = self.targets(batch), self._decoder_steps(batch)
        real = _length_mask(target.shape[2], self._padded_frames(batch))[:, None, :]
        losses = {
            "mel": ((decoded.mel - target).square() * real).mean(),
            "postnet": ((refined - target).square() * real).mean(),
            "gate": _gate_loss(decoded.gate, steps, self.config.gate_end_weight),
        }
        if self.config.guided_attention:
            attention_loss = guided_attention_loss(
                decoded.alignment, steps, batch.text_lengths, self.config.guided_attention_sigma
            )
            losses["attention"] = self.config.guided_attention * attention_loss
        if self.config.aligned_attention and batch.alignment_targets is not None:
            sigma = torch.full_like(steps, self.config.aligned_attention_sigma, dtype=torch.float)
            attention_loss = attention_distance_loss(
                decoded.alignment, self._step_targets(batch.alignment_targets), sigma
            )
            losses["aligned"] = self.config.aligned_attention * attention_loss
        return losses

    @torch.inference_mode()
    def teacher_force_with_losses(
        self, batch: TextBatch, seeds: Sequence[int]
    ) -> tuple[dict[str, Tensor], list[AcousticOutput]]:
        """Teacher-force a batch in eval mode; return losses and outputs.

        The prenet's dropout is active, as in free-running synthesis; it is drawn from `seeds`.
        """
        self.require_eval()
        batch, steps = batch.to(self.device), self._decoder_steps(batch)
        masks = self.decoder.prenet.draw_masks(seeds, steps.tolist())
        decoded, refined = self(batch, masks)
        outputs = self._split_outputs(
            refined, decoded, batch.text_lengths, steps, batch.mel_lengths
        )
        return self.losses(batch, decoded, refined), outputs

    @torch.inference_mode()
    def generate_batch(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None = None,
        speakers: Sequence[str] = (),
    ) -> list[AcousticOutput]:
        """Synthesize texts free-running, until the gate opens or the length limit is reached."""
        self.require_eval()
        speaker_indices = [self.speaker_index(name) for name in speakers or [""] * len(texts)]
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        rows = [torch.tensor(list(text), device=self.device) for text in texts]
        memory = self.encode_memory(
            nn.utils.rnn.pad_sequence(rows, batch_first=True),
            lengths,
            torch.tensor(speaker_indices, device=self.device),
        )
        limits = torch.tensor([self._max_steps(len(text), max_seconds) for text in texts])
        masks = self.decoder.prenet.draw_masks(seeds, limits.tolist())
        decoded, steps = self.decoder.generate(
            memory, masks, limits.to(self.device), self.config.gate_threshold
        )
        ends = steps * self.config.frames_per_step
        return self._split_outputs(
            self._apply_postnet(decoded.mel, ends), decoded, lengths, steps, ends
        )

    def load_partial(self, source: AcousticModel) -> list[str]:
        """Load another model's weights; return the names of what is new.

        Weights that a single-speaker source lacks start at zero, so every speaker begins as that
        speaker. From a multi-speaker source, embeddings are matched by name.
        """
        if source.speakers and not self.speakers:
            raise WavewrightError(
                f"the checkpoint has the speakers {shorten_list(source.speakers)}, this model has "
                "one voice"
            )
        if not self.speakers:
            return super().load_partial(source)
        state, new = add_speakers(
            source.inference_state(), source.speakers, self.state_dict(), self.speakers
        )
        self.load_inference_state(state)
        return new

    def _max_steps(self, symbols: int, max_seconds: float | None) -> int:
        """Upper limit of decoder steps for a text."""
        if max_seconds is None:
            max_seconds = 2 + self.config.seconds_per_symbol * symbols
        frames = max_seconds * self.mel_spec.sample_rate / self.mel_spec.hop_length
        return max(1, round(frames / self.config.frames_per_step))

    def _split_outputs(
        self, mel: Tensor, decoded: DecoderOutput, symbols: Tensor, steps: Tensor, frames: Tensor
    ) -> list[AcousticOutput]:
        """Split a batch into utterances, on the CPU, in the convention of `self.mel_spec`."""
        mel = (mel * self.config.mel_scale + self.config.mel_shift).float().cpu()
        opened = (torch.sigmoid(decoded.gate) > self.config.gate_threshold).cpu()
        alignment = decoded.alignment.float().cpu()
        cuts = zip(symbols.tolist(), steps.tolist(), frames.tolist(), strict=True)
        return [
            AcousticOutput(
                mel=mel[item, :, :frame_count].clone(),
                alignment=alignment[item, :step_count, :symbol_count].clone(),
                stopped=bool(opened[item, step_count - 1]),
            )
            for item, (symbol_count, step_count, frame_count) in enumerate(cuts)
        ]


def _attention(config: Tacotron2Config) -> LocationSensitiveAttention:
    attention = LocationSensitiveAttention(
        config.attention_rnn_width,
        _memory_width(config),
        config.attention_width,
        config.attention_location_filters,
        config.attention_location_kernel,
    )
    for layer in (attention.query, attention.memory, attention.location_dense):
        init_xavier(layer.weight, "tanh")
    init_xavier(attention.v.weight, "linear")
    init_xavier(attention.location_conv.weight, "linear")
    return attention


def _memory_width(config: Tacotron2Config) -> int:
    """Width of the encoded text: the encoder's, plus that of the speaker embedding."""
    return config.encoder_width + (config.speaker_width if config.speakers else 0)


def _length_mask(length: int, lengths: Tensor) -> Tensor:
    """Mask (B, length), True before each item's length."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def _gate_loss(gate: Tensor, steps: Tensor, end_weight: float) -> Tensor:
    """Binary cross-entropy of the stop gate, true from the last step on, over true steps."""
    target = (~_length_mask(gate.shape[1], steps - 1)).float()
    loss = F.binary_cross_entropy_with_logits(
        gate, target, reduction="none", pos_weight=gate.new_tensor(end_weight)
    )
    return (loss * _length_mask(gate.shape[1], steps)).mean()


_OFFICIAL_NAMES = (
    (r"\.linear_layer\.", "."),
    (r"convolutions\.(\d+)\.0\.conv\.", r"convolutions.\1.conv."),
    (r"convolutions\.(\d+)\.1\.", r"convolutions.\1.norm."),
    (r"attention_layer\.location_layer\.location_conv\.conv\.", "attention_layer.location_conv."),
    (r"attention_layer\.location_layer\.", "attention_layer."),
    (r"attention_layer\.(query|memory)_layer\.", r"attention_layer.\1."),
)


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a state dict of NVIDIA/tacotron2 to ours; values are unchanged."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in _OFFICIAL_NAMES:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed
