"""FastPitch (Łańcucki 2021, arXiv:2006.06873): all frames at once, in order by construction.

A feed-forward Transformer encodes the text; small networks say how long each symbol lasts, and how
high and how loud it is; the encodings are repeated for as many frames, and a second Transformer
turns them into a mel. Durations are learned from the times in TextGrids, pitch from F0 tracks.
Facts that the paper leaves open, and the names of the weights, follow NVIDIA's NeMo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.fastpitch_layers import FastPitchConfig, SymbolPredictor, Transformer
from wavewright.acoustic.text_input import TextModel
from wavewright.errors import WavewrightError
from wavewright.models.acoustic import AcousticOutput, TextBatch
from wavewright.models.base import Update
from wavewright.models.config import ModelConfig, OptimizerConfig

_LONGEST = 75  # frames of a symbol, as published


class SymbolTargets(NamedTuple):
    """Durations in frames, pitch and energy of every symbol, (B, symbols) each."""

    durations: Tensor
    pitch: Tensor
    energy: Tensor


class FastPitchPrediction(NamedTuple):
    """Everything that the network says of a batch.

    Attributes:
        mel: (B, n_mels, frames) in the network's scale.
        log_durations: (B, symbols), log(1 + frames).
        pitch: (B, symbols), normalised.
        energy: (B, symbols); None for a network without.
    """

    mel: Tensor
    log_durations: Tensor
    pitch: Tensor
    energy: Tensor | None


class FastPitch(TextModel):
    """FastPitch: network, losses, free-running and teacher-forced synthesis."""

    Config: ClassVar[type[ModelConfig]] = FastPitchConfig
    config: FastPitchConfig
    learns_from_pitch: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nemo": {},
        "small": {
            "layers": 4,
            "width": 192,
            "filter_width": 512,
            "predictor_width": 128,
            "mel_shift": -5.0,
            "mel_scale": 2.0,
            "warmup_steps": 200,
        },
    }

    def __init__(self, config: FastPitchConfig, *, name: str = "fastpitch") -> None:
        super().__init__(config, name=name)
        width = config.width
        self.encoder = Transformer(config, symbols=len(config.symbols))
        self.decoder = Transformer(config)
        self.duration_predictor = SymbolPredictor(config)
        self.pitch_predictor = SymbolPredictor(config)
        self.pitch_emb = nn.Conv1d(1, width, 3, padding=1)
        if config.energy:
            self.energy_predictor = SymbolPredictor(config)
            self.energy_emb = nn.Conv1d(1, width, 3, padding=1)
        if config.speakers:
            self.speaker_emb = nn.Embedding(len(config.speakers), width)
        self.proj = nn.Linear(width, config.mel.n_mels)

    @property
    def uses_alignment_targets(self) -> bool:
        """True: durations come from them."""
        return True

    @property
    def needs_alignment_targets(self) -> bool:
        """True: an utterance without cannot be learned from."""
        return True

    def forward(
        self,
        text: Tensor,
        lengths: Tensor,
        targets: SymbolTargets | None = None,
        speaker: Tensor | None = None,
    ) -> FastPitchPrediction:
        """Make mels of symbol indices.

        Args:
            text: (B, symbols), padded.
            lengths: (B,) symbols of each.
            targets: durations, pitch and energy to follow; None follows its own.
            speaker: (B,) indices.
        """
        valid = _length_mask(text.shape[1], lengths)
        embedded = self.encoder.word_emb(text)
        if self.speakers:
            if speaker is None:
                raise WavewrightError(f"'{self.name}' has several speakers: the batch names none")
            embedded = embedded + self.speaker_emb(speaker)[:, None] * valid[:, :, None]
        encoded = self.encoder(embedded, valid)
        log_durations = self.duration_predictor(encoded, valid)
        pitch = self.pitch_predictor(encoded, valid)
        energy = self.energy_predictor(encoded, valid) if self.config.energy else None
        driving = pitch if targets is None else targets.pitch
        varied = encoded + self.pitch_emb(driving[:, None]).mT
        if energy is not None:
            driving = energy if targets is None else targets.energy
            varied = varied + self.energy_emb(driving[:, None]).mT
        durations = (
            self._whole_frames(log_durations, valid) if targets is None else targets.durations
        )
        frames = durations.sum(dim=1)
        index = symbol_of_frame(durations, int(frames.max()))
        repeated = varied.gather(1, index[:, :, None].expand(-1, -1, varied.shape[2]))
        spoken = _length_mask(index.shape[1], frames)
        mel = self.proj(self.decoder(repeated * spoken[:, :, None], spoken)).mT
        return FastPitchPrediction(mel, log_durations, pitch, energy)

    @staticmethod
    def _whole_frames(log_durations: Tensor, valid: Tensor) -> Tensor:
        """Frames of each symbol; at least one in all."""
        frames = (log_durations.exp() - 1).clamp(0, _LONGEST)
        whole = (frames + 0.5).long() * valid
        whole[:, 0] += (whole.sum(dim=1) == 0).long()
        return whole

    def symbol_targets(self, batch: TextBatch) -> SymbolTargets:
        """Durations, pitch and energy of a batch's recordings.

        Raises:
            WavewrightError: alignment targets or F0 are missing.
        """
        if batch.alignment_targets is None or bool(batch.alignment_targets[:, 0].isnan().any()):
            raise WavewrightError(
                f"'{self.name}' learns durations from the times in TextGrids: "
                f"{_first_without(batch)} has none that fit its text"
            )
        if batch.f0 is None:
            raise WavewrightError(f"'{self.name}' learns from F0 tracks: run the stage 'pitch'")
        symbols = batch.text.shape[1]
        places = batch.alignment_targets.nan_to_num().round().long()
        places = torch.minimum(places.clamp(min=0), batch.text_lengths[:, None] - 1)
        places = places.cummax(dim=1).values
        spoken = _length_mask(places.shape[1], batch.mel_lengths)
        counts = _sum_by_symbol(spoken.float(), places, symbols)
        voiced = (batch.f0 > 0) & spoken
        logs = (batch.f0.clamp(min=1.0).log() - self.config.pitch_center) / self.config.pitch_scale
        pitch = _sum_by_symbol(logs * voiced, places, symbols) / _sum_by_symbol(
            voiced.float(), places, symbols
        ).clamp(min=1)
        levels = self._scaled(batch.mel).mean(dim=1) * spoken
        energy = _sum_by_symbol(levels, places, symbols) / counts.clamp(min=1)
        return SymbolTargets(counts.long(), pitch, energy)

    def _scaled(self, mel: Tensor) -> Tensor:
        return (mel - self.config.mel_shift) / self.config.mel_scale

    def losses(
        self, batch: TextBatch, targets: SymbolTargets, prediction: FastPitchPrediction
    ) -> dict[str, Tensor]:
        """Weighted terms of the loss by name; means over what is no padding."""
        config = self.config
        symbols = _length_mask(batch.text.shape[1], batch.text_lengths)
        frames = _length_mask(prediction.mel.shape[2], batch.mel_lengths)
        mel = self._scaled(batch.mel)[:, :, : prediction.mel.shape[2]]
        errors = (prediction.mel - mel).square().mean(dim=1)
        durations = (1.0 + targets.durations).log()
        losses = {
            "mel": _masked_mean(errors, frames),
            "duration": config.duration_weight
            * _masked_mean((prediction.log_durations - durations).square(), symbols),
            "pitch": config.pitch_weight
            * _masked_mean((prediction.pitch - targets.pitch).square(), symbols),
        }
        if prediction.energy is not None:
            losses["energy"] = config.energy_weight * _masked_mean(
                (prediction.energy - targets.energy).square(), symbols
            )
        return losses

    def updates(self, batch: TextBatch, step: int) -> Iterator[Update]:
        """Yield the one update of a step, with the losses of `losses`."""
        targets = self.symbol_targets(batch)
        prediction = self(batch.text, batch.text_lengths, targets, batch.speaker)
        losses = self.losses(batch, targets, prediction)
        yield Update(
            "generator",
            torch.stack(list(losses.values())).sum(),
            {name: loss.detach() for name, loss in losses.items()},
        )

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """AdamW with a warm-up and clipped gradients."""
        config = self.config
        return OptimizerConfig(
            optimizer="adamw",
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup_steps,
            cosine_steps=config.cosine_steps,
            clip_norm=config.clip_norm,
        )

    @torch.inference_mode()
    def teacher_force_with_losses(
        self, batch: TextBatch, seeds: Sequence[int]
    ) -> tuple[dict[str, Tensor], list[AcousticOutput]]:
        """Predict mels with the recordings' durations, pitch and energy; it has no noise."""
        self.require_eval()
        batch = batch.to(self.device)
        targets = self.symbol_targets(batch)
        prediction = self(batch.text, batch.text_lengths, targets, batch.speaker)
        outputs = self._split_outputs(prediction.mel, targets, batch.text_lengths)
        return self.losses(batch, targets, prediction), outputs

    @torch.inference_mode()
    def generate_batch(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None = None,
        speakers: Sequence[str] = (),
    ) -> list[AcousticOutput]:
        """Synthesize texts with the durations, pitch and energy that the network predicts."""
        self.require_eval()
        indices = [self.speaker_index(name) for name in speakers or [""] * len(texts)]
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        rows = [torch.tensor(list(text), device=self.device) for text in texts]
        text = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        speaker = torch.tensor(indices, device=self.device)
        prediction = self(text, lengths, None, speaker)
        valid = _length_mask(text.shape[1], lengths)
        durations = self._whole_frames(prediction.log_durations, valid)
        energy = torch.zeros_like(prediction.pitch)
        targets = SymbolTargets(durations, prediction.pitch, energy)
        outputs = self._split_outputs(prediction.mel, targets, lengths)
        if max_seconds is None:
            return outputs
        limit = max(1, int(max_seconds * self.mel_spec.sample_rate / self.mel_spec.hop_length))
        return [_cut(output, limit) for output in outputs]

    def _split_outputs(
        self, mel: Tensor, targets: SymbolTargets, symbols: Tensor
    ) -> list[AcousticOutput]:
        """Split a batch into utterances, on the CPU, in the convention of `self.mel_spec`."""
        mel = (mel * self.config.mel_scale + self.config.mel_shift).float().cpu()
        outputs = []
        for item, count in enumerate(symbols.tolist()):
            durations = targets.durations[item, :count].cpu()
            index = torch.repeat_interleave(torch.arange(count), durations)
            alignment = F.one_hot(index, count).float()
            outputs.append(AcousticOutput(mel[item, :, : len(index)].clone(), alignment, True))
        return outputs


def symbol_of_frame(durations: Tensor, frames: int) -> Tensor:
    """Index of the symbol that each frame belongs to: (B, symbols) -> (B, frames)."""
    ends = durations.cumsum(dim=1)
    places = torch.arange(frames, device=durations.device).expand(len(durations), -1)
    index = torch.searchsorted(ends, places.contiguous(), right=True)
    return index.clamp(max=durations.shape[1] - 1)


def _sum_by_symbol(values: Tensor, places: Tensor, symbols: int) -> Tensor:
    """(B, frames) summed over the frames of each symbol: (B, symbols)."""
    return values.new_zeros(len(values), symbols).scatter_add(1, places, values)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _length_mask(length: int, lengths: Tensor) -> Tensor:
    """Mask (B, length), True before each item's length."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def _first_without(batch: TextBatch) -> str:
    targets = batch.alignment_targets
    if targets is None:
        return f"'{batch.ids[0]}'"
    return f"'{batch.ids[int(torch.nonzero(targets[:, 0].isnan())[0])]}'"


def _cut(output: AcousticOutput, frames: int) -> AcousticOutput:
    """Cut an output that is longer than so many frames."""
    if output.mel.shape[1] <= frames:
        return output
    return AcousticOutput(output.mel[:, :frames], output.alignment[:frames], stopped=False)
