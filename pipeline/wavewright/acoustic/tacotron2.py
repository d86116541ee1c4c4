"""Tacotron 2 (Shen et al. 2017, arXiv:1712.05884), in NVIDIA's configuration.

Text goes through convolutions and a bidirectional LSTM; a decoder with location-sensitive
attention speaks a few frames per step, hearing its own last frame through a narrow prenet whose
dropout is always on; a gate says when the text is over; a postnet adds detail. Facts that the
paper leaves open are those of NVIDIA/tacotron2 at 185cd24.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.acoustic.add_speakers import with_speakers
from wavewright.acoustic.attention import (
    LocationSensitiveAttention,
    Memory,
    guided_attention_loss,
    stray,
)
from wavewright.acoustic.lexicon import ARPABET, Lexicon
from wavewright.acoustic.tacotron2_layers import Decoder, Encoder, Postnet, Prenet, Spoken, spread
from wavewright.errors import WavewrightError, shorten_list
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel
from wavewright.models.acoustic import AcousticModel, Speech, TextBatch
from wavewright.models.base import Update
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.text.symbols import IPA_SYMBOLS, SYMBOLS, encode, normalise_text, phonemise


class Tacotron2Config(ModelConfig):
    """NVIDIA's configuration; `variants` holds a small one for training on a CPU.

    Attributes:
        symbols: what texts are made of; number 0 is padding.
        phonemes: what the model reads instead of letters: the IPA of an espeak-ng language, such
            as `en-us`, or with `arpabet` the phones of TextGrids; None: letters.
        lexicon: phones of words, for texts that no TextGrid comes with; `arpabet` alone has one.
        speakers: names of those it can speak as; empty, as published, for one voice.
        speaker_width: of a speaker's embedding, which stands beside every symbol's encoding as in
            NVIDIA/mellotron (model.py at 1189db6; 128 wide there).
        frames_per_step: frames that one step of the decoder speaks (the reduction factor). The
            paper has 1; more makes steps fewer and attention easier to learn.
        mel_shift, mel_scale: the network sees `(mel - mel_shift) / mel_scale`. The published
            network sees the log mel as it is.
        guided_attention: weight of the guided attention loss; 0, the published value, is none.
        guided_attention_sigma: width of its free corridor, as a share of the utterance.
        guided_attention_steps: training steps over which it fades to nothing; None: it stays.
        aligned_attention: weight of a loss that holds attention to the word times of TextGrids,
            for utterances that have them; 0, the published value, is none.
        aligned_attention_sigma: width of its free corridor, in symbols.
        frame_dropout: share of the frames heard in training that are silenced to the network's
            zero, so that it has to read (Liu et al. 2019, arXiv:1909.01145); 0 is published.
        ignore_padding: zero whatever stands beyond an utterance before every convolution, so
            that results do not depend on batch mates. False is NVIDIA's behaviour: the padding
            symbol's embedding and the decoder's frames after the end leak in.
        gate_end_weight: weight, in the gate's loss, of the one step that ends an utterance against
            each of those before it; 1 is published.
        gate_threshold: probability at which free-running speech ends.
        seconds_per_symbol: free-running speech ends at the latest after two seconds and this
            much per symbol.
    """

    mel: MelSpec = MelSpec.preset("tacotron2")
    symbols: tuple[str, ...] = SYMBOLS
    phonemes: str | None = None
    lexicon: Mapping[str, str] = {}
    speakers: tuple[str, ...] = ()
    speaker_width: int = Field(default=64, gt=0)
    frames_per_step: int = Field(default=1, ge=1, le=5)
    encoder_width: int = Field(default=512, gt=0, multiple_of=2)
    encoder_convolutions: int = Field(default=3, ge=0)
    encoder_kernel: int = 5
    encoder_dropout: float = Field(default=0.5, ge=0, lt=1)
    prenet_width: int = Field(default=256, gt=0)
    prenet_dropout: float = Field(default=0.5, ge=0, lt=1)
    attention_rnn_width: int = Field(default=1024, gt=0)
    attention_rnn_dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_width: int = Field(default=128, gt=0)
    attention_location_filters: int = Field(default=32, gt=0)
    attention_location_kernel: int = 31
    decoder_rnn_width: int = Field(default=1024, gt=0)
    decoder_rnn_dropout: float = Field(default=0.1, ge=0, lt=1)
    postnet_width: int = Field(default=512, gt=0)
    postnet_convolutions: int = Field(default=5, ge=2)
    postnet_kernel: int = 5
    postnet_dropout: float = Field(default=0.5, ge=0, lt=1)
    mel_shift: float = 0.0
    mel_scale: float = Field(default=1.0, gt=0)
    guided_attention: float = Field(default=0.0, ge=0)
    guided_attention_sigma: float = Field(default=0.2, gt=0)
    guided_attention_steps: int | None = Field(default=None, gt=0)
    aligned_attention: float = Field(default=0.0, ge=0)
    aligned_attention_sigma: float = Field(default=2.0, gt=0)
    frame_dropout: float = Field(default=0.0, ge=0, lt=1)
    ignore_padding: bool = True
    gate_end_weight: float = Field(default=1.0, gt=0)
    gate_threshold: float = 0.5
    seconds_per_symbol: float = Field(default=0.2, gt=0)
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    weight_decay: float = 1e-6
    clip_norm: float = 1.0

    @model_validator(mode="before")
    @classmethod
    def _ipa_for_phonemes(cls, data: Any) -> Any:
        ipa = isinstance(data, dict) and data.get("phonemes") not in (None, "", ARPABET)
        if ipa and "symbols" not in data:
            return {**data, "symbols": IPA_SYMBOLS}
        return data

    @model_validator(mode="after")
    def _distinct_speakers(self) -> Self:
        if len(set(self.speakers)) < len(self.speakers) or not all(self.speakers):
            raise ValueError(f"speakers must be different names, found {', '.join(self.speakers)}")
        return self

    @model_validator(mode="after")
    def _known_phones(self) -> Self:
        if self.lexicon and self.phonemes != ARPABET:
            raise ValueError(f"lexicon is for phonemes: {ARPABET}")
        for word, phones in self.lexicon.items():
            unknown = [phone for phone in phones.split() if f"@{phone}" not in self.symbols]
            if unknown or not phones.strip():
                raise ValueError(f"lexicon has '{word}' as '{phones}'; allowed: ARPAbet in symbols")
        return self

    @model_validator(mode="after")
    def _odd_kernels(self) -> Self:
        for field in ("encoder_kernel", "attention_location_kernel", "postnet_kernel"):
            if getattr(self, field) < 1 or getattr(self, field) % 2 == 0:
                raise ValueError(f"{field} must be odd, found {getattr(self, field)}")
        return self


class Tacotron2(AcousticModel):
    """The whole network, its losses, and the two ways to speak."""

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
    def learns_places(self) -> bool:
        """True where word times are part of the loss."""
        return self.config.aligned_attention > 0

    @property
    def reads_phones(self) -> bool:
        """True where it reads the phones of TextGrids."""
        return self.config.phonemes == ARPABET

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of those it can speak as."""
        return self.config.speakers

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols by number."""
        return self.config.symbols

    @cached_property
    def lexicon(self) -> Lexicon:
        """Pronounces texts, for a model that reads phones."""
        return Lexicon(self.config.lexicon)

    @property
    def language(self) -> str:
        """Whose phonemes it reads; empty for letters."""
        return self.config.phonemes or ""

    def encode_text(self, text: str) -> list[int]:
        """Numbers of a text's letters, or of its phonemes where the model reads those."""
        if self.reads_phones:
            return encode(self.lexicon.phone_text(normalise_text(text)), self.config.symbols)
        if self.config.phonemes:
            return encode(phonemise(text, self.config.phonemes), self.config.symbols)
        return encode(normalise_text(text), self.config.symbols)

    def forward(self, batch: TextBatch, masks: Tensor | None = None) -> tuple[Spoken, Tensor]:
        """Follow the recordings of a batch.

        Args:
            batch: texts and natural mels.
            masks: of the prenet's dropout, (steps, B, layers, width); None draws them from
                torch's global generator.

        Returns:
            What the decoder spoke and, after the postnet, mel (B, n_mels, steps *
            frames_per_step); both in the network's scale, both with whatever came out beyond
            each utterance's end.
        """
        mel = self.targets(batch)
        heard = mel[:, :, self.config.frames_per_step - 1 :: self.config.frames_per_step]
        frames = F.pad(heard[:, :, :-1], (1, 0)).permute(2, 0, 1)  # the first step hears zeros
        if self.training and self.config.frame_dropout:
            frames = frames * (torch.rand_like(frames[:, :, :1]) >= self.config.frame_dropout)
        memory = self.remember(batch.text, batch.text_lengths, batch.speaker)
        spoken = self.decoder(memory, frames, masks)
        return spoken, self._refine(spoken.mel, self._ends(batch))

    def targets(self, batch: TextBatch) -> Tensor:
        """Natural mels in the network's scale, filled with silence to whole steps."""
        missing = -batch.mel.shape[2] % self.config.frames_per_step
        silence = torch.from_numpy(silent_mel(self.mel, missing)).to(batch.mel)
        mel = torch.cat([batch.mel, silence.expand(len(batch.mel), -1, -1)], dim=2)
        return (mel - self.config.mel_shift) / self.config.mel_scale

    def remember(self, text: Tensor, lengths: Tensor, speaker: Tensor | None = None) -> Memory:
        """Encode numbered texts (B, symbols) of the given lengths (B,) and speakers (B,)."""
        keep = self._keep(text.shape[1], lengths)
        embedded = self.embedding(text).transpose(1, 2)
        encoded = self.encoder(embedded, lengths, keep)
        if self.speakers:
            if speaker is None:
                raise WavewrightError(f"'{self.name}' has several speakers: the batch names none")
            voices = self.speaker_embedding(speaker)[:, None, :]
            spoken = _until(text.shape[1], lengths)[:, :, None]
            encoded = torch.cat([encoded, voices * spoken], dim=2)
        return self.decoder.attention_layer.remember(encoded, lengths)

    def _places(self, places: Tensor) -> Tensor:
        """(B, frames) -> (B, steps): the place in the middle of each step."""
        missing = -places.shape[1] % self.config.frames_per_step
        filled = F.pad(places, (0, missing), value=torch.nan)
        return filled.reshape(len(places), -1, self.config.frames_per_step).mean(dim=2)

    def _refine(self, mel: Tensor, ends: Tensor) -> Tensor:
        refined: Tensor = mel + self.postnet(mel, self._keep(mel.shape[2], ends))
        return refined

    def _keep(self, length: int, lengths: Tensor) -> Tensor | None:
        """(B, 1, length), 1 where an utterance is; None where padding shall not be ignored."""
        return _until(length, lengths)[:, None, :].float() if self.config.ignore_padding else None

    def _steps(self, batch: TextBatch) -> Tensor:
        """(B,) decoder steps of each utterance."""
        return (batch.mel_lengths + self.config.frames_per_step - 1) // self.config.frames_per_step

    def _ends(self, batch: TextBatch) -> Tensor:
        """(B,) frames of each utterance, filled to whole steps."""
        return self._steps(batch) * self.config.frames_per_step

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam with weight decay and clipped gradients."""
        return OptimizerConfig(
            learning_rate=self.config.learning_rate,
            decay_per_epoch=self.config.learning_rate_decay,
            weight_decay=self.config.weight_decay,
            clip_norm=self.config.clip_norm,
        )

    def updates(self, batch: TextBatch, step: int) -> Iterator[Update]:
        """One update: the mel twice, the gate, and guided attention where it is asked for."""
        losses = self.losses(batch, *self(batch))
        if "attention" in losses and self.config.guided_attention_steps:
            fade = max(0.0, 1 - step / self.config.guided_attention_steps)
            losses["attention"] = losses["attention"] * fade
        yield Update(
            "generator",
            torch.stack(list(losses.values())).sum(),
            {name: loss.detach() for name, loss in losses.items()},
        )

    def losses(self, batch: TextBatch, spoken: Spoken, refined: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, from what `forward` gave.

        Means are taken over the whole padded batch, as published; padding adds nothing.
        """
        target, steps = self.targets(batch), self._steps(batch)
        real = _until(target.shape[2], self._ends(batch))[:, None, :]
        losses = {
            "mel": ((spoken.mel - target).square() * real).mean(),
            "postnet": ((refined - target).square() * real).mean(),
            "gate": _gate_loss(spoken.gate, steps, self.config.gate_end_weight),
        }
        if self.config.guided_attention:
            strays = guided_attention_loss(
                spoken.alignment, steps, batch.text_lengths, self.config.guided_attention_sigma
            )
            losses["attention"] = self.config.guided_attention * strays
        if self.config.aligned_attention and batch.places is not None:
            sigma = torch.full_like(steps, self.config.aligned_attention_sigma, dtype=torch.float)
            strays = stray(spoken.alignment, self._places(batch.places), sigma)
            losses["aligned"] = self.config.aligned_attention * strays
        return losses

    @torch.inference_mode()
    def follow(
        self, batch: TextBatch, seeds: Sequence[int]
    ) -> tuple[dict[str, Tensor], list[Speech]]:
        """Speak along the recordings: batch norm and dropout at rest, but for the prenet's.

        The prenet's dropout is part of how the network speaks; it is drawn from `seeds`.
        """
        self.require_eval()
        batch, steps = batch.to(self.device), self._steps(batch)
        masks = self.decoder.prenet.draw_masks(seeds, steps.tolist())
        spoken, refined = self(batch, masks)
        speeches = self._speeches(refined, spoken, batch.text_lengths, steps, batch.mel_lengths)
        return self.losses(batch, spoken, refined), speeches

    @torch.inference_mode()
    def speak_all(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None = None,
        speakers: Sequence[str] = (),
    ) -> list[Speech]:
        """Say texts freely, until the gate opens or a limit is reached."""
        self.require_eval()
        voices = [self.speaker_number(name) for name in speakers or [""] * len(texts)]
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        rows = [torch.tensor(list(text), device=self.device) for text in texts]
        memory = self.remember(
            nn.utils.rnn.pad_sequence(rows, batch_first=True),
            lengths,
            torch.tensor(voices, device=self.device),
        )
        limits = torch.tensor([self._limit(len(text), max_seconds) for text in texts])
        masks = self.decoder.prenet.draw_masks(seeds, limits.tolist())
        spoken, steps = self.decoder.speak(
            memory, masks, limits.to(self.device), self.config.gate_threshold
        )
        ends = steps * self.config.frames_per_step
        return self._speeches(self._refine(spoken.mel, ends), spoken, lengths, steps, ends)

    def adopt(self, source: AcousticModel) -> list[str]:
        """Start from another model's weights; what a model of one voice lacks starts at zero.

        So all speakers begin with that voice, and what is known of speakers by their names is
        kept.
        """
        if source.speakers and not self.speakers:
            raise WavewrightError(
                f"the checkpoint has the speakers {shorten_list(source.speakers)}, this model has "
                "one voice"
            )
        if not self.speakers:
            return super().adopt(source)
        state, new = with_speakers(
            source.inference_state(), source.speakers, self.state_dict(), self.speakers
        )
        self.load_inference_state(state)
        return new

    def _limit(self, symbols: int, max_seconds: float | None) -> int:
        """Most steps for a text."""
        if max_seconds is None:
            max_seconds = 2 + self.config.seconds_per_symbol * symbols
        frames = max_seconds * self.mel.sample_rate / self.mel.hop_length
        return max(1, round(frames / self.config.frames_per_step))

    def _speeches(
        self, mel: Tensor, spoken: Spoken, symbols: Tensor, steps: Tensor, frames: Tensor
    ) -> list[Speech]:
        """Cut a batch into utterances, on the CPU, in the convention of `self.mel`."""
        mel = (mel * self.config.mel_scale + self.config.mel_shift).float().cpu()
        opened = (torch.sigmoid(spoken.gate) > self.config.gate_threshold).cpu()
        alignment = spoken.alignment.float().cpu()
        cuts = zip(symbols.tolist(), steps.tolist(), frames.tolist(), strict=True)
        return [
            Speech(
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
        spread(layer.weight, "tanh")
    spread(attention.v.weight, "linear")
    spread(attention.location_conv.weight, "linear")
    return attention


def _memory_width(config: Tacotron2Config) -> int:
    """Of what is known of each symbol: its encoding, and beside it the speaker's embedding."""
    return config.encoder_width + (config.speaker_width if config.speakers else 0)


def _until(length: int, lengths: Tensor) -> Tensor:
    """(B, length), True before each item's length."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def _gate_loss(gate: Tensor, steps: Tensor, end_weight: float) -> Tensor:
    """Cross-entropy of "the end is here", true from the last step on, over true steps."""
    target = (~_until(gate.shape[1], steps - 1)).float()
    loss = F.binary_cross_entropy_with_logits(
        gate, target, reduction="none", pos_weight=gate.new_tensor(end_weight)
    )
    return (loss * _until(gate.shape[1], steps)).mean()


_NVIDIA_NAMES = (
    (r"\.linear_layer\.", "."),
    (r"convolutions\.(\d+)\.0\.conv\.", r"convolutions.\1.conv."),
    (r"convolutions\.(\d+)\.1\.", r"convolutions.\1.norm."),
    (r"attention_layer\.location_layer\.location_conv\.conv\.", "attention_layer.location_conv."),
    (r"attention_layer\.location_layer\.", "attention_layer."),
    (r"attention_layer\.(query|memory)_layer\.", r"attention_layer.\1."),
)


def from_nvidia(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of NVIDIA/tacotron2 under our names; the values are the same."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in _NVIDIA_NAMES:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed
