"""Configuration and layers of FastPitch: feed-forward Transformers and predictors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from wavewright.acoustic.text_input import TextConfig
from wavewright.mel.spec import MelSpec


class FastPitchConfig(TextConfig):
    """The published sizes, 384 wide.

    Attributes:
        layers: of the encoder and of the decoder each.
        width: of the encodings.
        head_width: of the one attention head.
        filter_width: of the convolutions after attention.
        predictor_width: of the networks for duration, pitch and energy.
        pitch_center, pitch_scale: the network sees `(log F0 - pitch_center) / pitch_scale` of
            voiced symbols and 0 of unvoiced ones.
        energy: whether loudness is predicted too.
        mel_shift, mel_scale: the network makes `(mel - mel_shift) / mel_scale`.
        pitch_weight: of the pitch's loss; likewise the others.
    """

    mel: MelSpec = MelSpec.preset("nemo-fastpitch-22k")
    layers: int = Field(default=6, gt=0)
    width: int = Field(default=384, gt=0, multiple_of=2)
    heads: int = Field(default=1, gt=0)
    head_width: int = Field(default=64, gt=0)
    filter_width: int = Field(default=1536, gt=0)
    kernel: int = Field(default=3, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    predictor_width: int = Field(default=256, gt=0)
    predictor_layers: int = Field(default=2, gt=0)
    pitch_center: float = 5.2
    pitch_scale: float = Field(default=0.3, gt=0)
    energy: bool = True
    mel_shift: float = 0.0
    mel_scale: float = Field(default=1.0, gt=0)
    duration_weight: float = Field(default=0.1, ge=0)
    pitch_weight: float = Field(default=0.1, ge=0)
    energy_weight: float = Field(default=0.1, ge=0)
    learning_rate: float = 1e-3
    warmup_steps: int = Field(default=1000, ge=0)
    cosine_steps: int | None = Field(default=None, gt=0)
    weight_decay: float = 1e-6
    clip_norm: float = Field(default=1.0, gt=0)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself around a shortcut, normalised afterwards."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv_net = nn.Linear(width, 3 * heads * head_width)
        self.o_net = nn.Linear(heads * head_width, width, bias=False)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width), valid (B, T) -> (B, T, width)."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv_net(x).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=valid[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        mixed = self.o_net(mixed.transpose(1, 2).flatten(2))
        normalized: Tensor = self.layer_norm(x + F.dropout(mixed, self.dropout, self.training))
        return normalized


class ConvolutionPair(nn.Module):
    """Two convolutions around a shortcut, normalised afterwards."""

    def __init__(self, width: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        padding = kernel // 2
        self.CoreNet = nn.Sequential(
            nn.Conv1d(width, hidden, kernel, padding=padding),
            nn.ReLU(),
            nn.Conv1d(hidden, width, kernel, padding=padding),
            nn.Dropout(dropout),
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width), valid (B, T) -> (B, T, width).

        What lies beyond an utterance is zero between the two convolutions as well, so that a batch
        equals its items.
        """
        enter, activate, leave, dropout = self.CoreNet
        hidden = activate(enter(x.mT)) * valid[:, None]
        normalized: Tensor = self.layer_norm(x + dropout(leave(hidden)).mT)
        return normalized


class TransformerLayer(nn.Module):
    """Attention, then convolutions; padding stays zero."""

    def __init__(self, config: FastPitchConfig) -> None:
        super().__init__()
        self.dec_attn = SelfAttention(config.width, config.heads, config.head_width, config.dropout)
        self.pos_ff = ConvolutionPair(
            config.width, config.filter_width, config.kernel, config.dropout
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width), valid (B, T) -> (B, T, width)."""
        x = self.dec_attn(x, valid) * valid[:, :, None]
        refined: Tensor = self.pos_ff(x, valid) * valid[:, :, None]
        return refined


class Transformer(nn.Module):
    """Layers with sinusoidal positions, and an embedding of symbols if there are any."""

    frequencies: Tensor

    def __init__(self, config: FastPitchConfig, symbols: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.layers))
        if symbols:
            self.word_emb = nn.Embedding(symbols, config.width, padding_idx=0)
        frequencies = 10000 ** -(torch.arange(0.0, config.width, 2.0) / config.width)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width), valid (B, T) -> (B, T, width)."""
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * self.frequencies
        positions = torch.cat([angles.sin(), angles.cos()], dim=1)
        x = x + positions * valid[:, :, None]
        for layer in self.layers:
            x = layer(x, valid)
        return x


class _ConvolutionNorm(nn.Module):
    def __init__(self, before: int, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, width, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.dropout(self.norm(F.relu(self.conv(x.mT)).mT))
        return normalized


class SymbolPredictor(nn.Module):
    """One number for every symbol."""

    def __init__(self, config: FastPitchConfig) -> None:
        super().__init__()
        width = config.predictor_width
        self.layers = nn.Sequential(
            *(
                _ConvolutionNorm(width if i else config.width, width, 3, config.dropout)
                for i in range(config.predictor_layers)
            )
        )
        self.fc = nn.Linear(width, 1)

    def forward(self, encoded: Tensor, valid: Tensor) -> Tensor:
        """(B, symbols, width), valid (B, symbols) -> (B, symbols)."""
        x = encoded
        for layer in self.layers:
            x = layer(x * valid[:, :, None])
        numbers: Tensor = self.fc(x).squeeze(2) * valid
        return numbers
