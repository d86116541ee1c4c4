"""Griffin-Lim: the vocoder that needs no training.

By default mel-consistent: each iteration makes the estimate's mel the given one (see
`wavewright.nn.mel_consistency`). `griffinlim:streaming` does so block by block, as real-time
spectrogram inversion with look-ahead. `griffinlim:magnitude` is the field's usual: mel amplitudes
become linear magnitudes through the filterbank's pseudo-inverse, clipped at 0 (librosa's
`mel_to_stft` solves non-negative least squares instead, which fits a little better and takes far
longer), and every iteration imposes these.

Source: Griffin and Lim 1984; Zhu, Beauregard and Wyse 2007 for the blocks; Perraudin, Balazs and
Søndergaard 2013 for the momentum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from wavewright.mel.spec import MelSpec, mel_filterbank
from wavewright.models.config import ModelConfig
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamPipeline, concat_noise, split_noise
from wavewright.nn.mel_consistency import MelConsistency
from wavewright.nn.noise import NoiseSpec

_SLOPE_BINS = 32  # below fmax, whose mean says how loud it is above
_ABOVE_FMAX = 0.5  # of that mean


class GriffinLimConfig(ModelConfig):
    """Sixty iterations over the whole mel.

    Attributes:
        iterations: the quality grows little after 60.
        momentum: 0.9 is best for `keep: mel`, librosa's 0.99 for `keep: magnitude`.
        keep: what an iteration imposes: the mel, or the magnitudes of its pseudo-inverse.
        block_frames: frames that are finished at once, for streams; 0: all.
        block_look_ahead: frames after a block that are iterated with it.
    """

    mel: MelSpec = MelSpec.preset("hifigan")
    iterations: int = Field(default=60, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    keep: Literal["mel", "magnitude"] = "mel"
    block_frames: int = Field(default=0, ge=0)
    block_look_ahead: int = Field(default=8, gt=0)

    @model_validator(mode="after")
    def _blocks_keep_mels(self) -> Self:
        if self.block_frames and self.keep == "magnitude":
            raise ValueError("block_frames: only `keep: mel` goes block by block")
        return self


class GriffinLim(Streamable):
    """Estimates the waveform of a mel by going back and forth; has no parameters.

    Any MelSpec will do: both framings, every logarithm. Bands at the floor become exact silence.
    """

    Config: ClassVar[type[ModelConfig]] = GriffinLimConfig
    config: GriffinLimConfig
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mel": {},
        "magnitude": {"keep": "magnitude", "momentum": 0.99},
        "streaming": {"block_frames": 8, "block_look_ahead": 8, "iterations": 40},
    }

    def __init__(self, config: GriffinLimConfig, *, name: str = "griffinlim") -> None:
        super().__init__(config, name=name)
        self.consistency = MelConsistency(config.mel, momentum=config.momentum)
        self.stft = self.consistency.stft

    @property
    def look_ahead(self) -> int | None:
        """A block, its own look-ahead, and the frames whose windows reach into a frame's samples.

        None without blocks.
        """
        config = self.config
        if not config.block_frames:
            return None
        reach = -(-self.mel_spec.padding // self.hop_length)
        return reach + config.block_frames + config.block_look_ahead - 1

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """Phases to begin with, in half turns."""
        bins = self.mel_spec.n_fft // 2 + 1
        return {"phases": NoiseSpec((bins, frames), "uniform", frames=frames)}

    def forward(self, mel: Tensor, phases: Tensor) -> Tensor:
        """(B, n_mels, frames), (B, bins, frames) -> (B, frames * hop_length)."""
        if self.config.block_frames:
            both = concat_noise(mel, [phases], list(self.noise_inputs(1).values()))
            wav = self.stream_pipeline()(both, ended=True)
            assert wav is not None
            return wav[:, 0, : mel.shape[-1] * self.hop_length]
        amplitudes = self.consistency.band_amplitudes(mel)
        if self.config.keep == "magnitude":
            magnitude = _magnitude(amplitudes, self.mel_spec)
            spectrum = self._keep_magnitude(magnitude, _phasors(phases))
        else:
            spectrum = self.first_estimate(amplitudes, phases)
            spectrum = self.consistency.iterate(spectrum, amplitudes, self.config.iterations)
        return self.stft.crop(self.stft.inverse(spectrum))

    def stream_pipeline(self) -> StreamPipeline:
        """Start a stream."""
        return _Blocks(self)

    def first_estimate(self, amplitudes: Tensor, phases: Tensor) -> Tensor:
        """Spectrum of the pseudo-inverse's magnitudes and of given phases.

        Args:
            amplitudes: (B, frames, n_mels).
            phases: (B, bins, frames) in half turns.

        Returns:
            (B, frames, bins), complex; bins above the highest band are as loud as those below it.
        """
        magnitude = _magnitude(amplitudes, self.mel_spec)
        known = magnitude[..., : self.consistency.bins_up_to_fmax]
        level = _ABOVE_FMAX * known[..., -_SLOPE_BINS:].mean(dim=-1, keepdim=True)
        unknown = level.expand(-1, -1, magnitude.shape[-1] - known.shape[-1])
        return torch.cat([known, unknown], dim=-1) * _phasors(phases)

    def _keep_magnitude(self, magnitude: Tensor, phases: Tensor) -> Tensor:
        push = self.config.momentum / (1 + self.config.momentum)
        overlap, previous = self.stft.overlap(magnitude.shape[1]), torch.zeros_like(phases)
        for _ in range(self.config.iterations):
            rebuilt = self.stft(self.stft.inverse(magnitude * phases, overlap))
            phases = rebuilt - push * previous
            phases = phases / phases.abs().clamp(min=1e-16)
            previous = rebuilt
        return magnitude * phases


class _Blocks:
    """Stream of one batch: frames become final block by block, with the past as it was left.

    A block is iterated together with the frames after it, whose estimates the next one takes over.
    """

    def __init__(self, vocoder: GriffinLim) -> None:
        self.vocoder, self.config, self.stft = vocoder, vocoder.config, vocoder.stft
        self.past_frames = -(-self.stft.n_fft // self.stft.hop_length) - 1
        self.held: Tensor | None = None  # frames that are not final
        self.past: Tensor | None = None  # the last final spectra
        self.ahead: Tensor | None = None  # estimates of the first frames held
        self.skip = self.stft.padding  # samples before the first frame's own

    def __call__(self, x: Tensor, *, ended: bool = False) -> Tensor | None:
        """(B, channels, frames) that follow -> (B, 1, samples) that are complete now, if any."""
        if x.shape[-1]:
            self.held = x if self.held is None else torch.cat([self.held, x], dim=-1)
        assert self.held is not None
        size, look_ahead = self.config.block_frames, self.config.block_look_ahead
        wavs = []
        while self.held.shape[-1] >= size + look_ahead or (ended and self.held.shape[-1]):
            last = ended and self.held.shape[-1] <= size
            wavs.append(self._finish_block(self.held[..., : size + look_ahead], last=last))
            self.held = self.held[..., size:]
        return torch.cat(wavs, dim=1)[:, None] if wavs else None

    def _finish_block(self, both: Tensor, *, last: bool) -> Tensor:
        vocoder, size = self.vocoder, self.config.block_frames
        specs = list(vocoder.noise_inputs(1).values())
        mel, phases = split_noise(both, vocoder.mel_spec.n_mels, specs)
        amplitudes = vocoder.consistency.band_amplitudes(mel)
        spectrum = vocoder.first_estimate(amplitudes, phases)
        if self.ahead is not None:
            spectrum = torch.cat([self.ahead, spectrum[:, self.ahead.shape[1] :]], dim=1)
        iterations, past = self.config.iterations, self.past
        spectrum = vocoder.consistency.iterate(spectrum, amplitudes, iterations, past)
        final, self.ahead = spectrum[:, :size], spectrum[:, size:]
        before = 0 if past is None else past.shape[1]
        whole = final if past is None else torch.cat([past, final], dim=1)
        self.past = whole[:, max(0, whole.shape[1] - self.past_frames) :]
        hop = self.stft.hop_length
        stop = None if last else whole.shape[1] * hop
        wav = self.stft.inverse(whole)[:, before * hop : stop]
        skipped = min(self.skip, wav.shape[1])
        self.skip -= skipped
        return wav[:, skipped:]


def _phasors(phases: Tensor) -> Tensor:
    """(B, bins, frames) in half turns -> (B, frames, bins), complex."""
    angle = math.pi * phases.mT
    return torch.polar(torch.ones_like(angle), angle)


def _magnitude(amplitudes: Tensor, spec: MelSpec) -> Tensor:
    """Pseudo-inverse of a linear mel: (B, frames, n_mels) -> (B, frames, 1 + n_fft // 2)."""
    spectrum = (amplitudes @ _pseudo_inverse(spec).to(amplitudes.device).T).clamp(min=0)
    return spectrum.sqrt() if spec.power == 2 else spectrum


@lru_cache(maxsize=8)
def _pseudo_inverse(spec: MelSpec) -> Tensor:
    return torch.from_numpy(np.linalg.pinv(mel_filterbank(spec)).astype(np.float32))
