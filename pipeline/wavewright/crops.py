"""Training crops for mel-conditioned vocoders, read from shards by byte range.

A batch is a function of (seed, step) alone: which utterances, in which order and which part of
each depend on no worker, rank or earlier step. That is what makes a resumed run exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from wavewright.audio import from_pcm16
from wavewright.errors import WavewrightError
from wavewright.mel import silent_mel
from wavewright.melspec import MelSpec
from wavewright.shards import Shards
from wavewright.vocoder import Batch
from wavewright.wav_steps import apply_steps, memory


class CropData:
    """Random crops of (waveform, mel) pairs.

    Args:
        audio: shards of the waveforms.
        mels: shards of the mels used from step 0 on.
        ids: utterances to draw from; all must be in the shards.
        segment_length: samples of a crop, a multiple of the hop length.
        batch_size: crops of a step, over all processes.
        seed: of order and crops.
        later_mels: mels used from step `switch_at` on, such as GTA mels.
        switch_at: first step that uses `later_mels`.
    """

    def __init__(
        self,
        audio: Shards,
        mels: Shards,
        ids: Sequence[str],
        *,
        segment_length: int,
        batch_size: int,
        seed: int,
        later_mels: Shards | None = None,
        switch_at: int = 0,
    ) -> None:
        self.spec = _spec_of(mels)
        if later_mels is not None:
            self.spec.require_equal(
                _spec_of(later_mels), mine=f"{mels.folder}", theirs=f"{later_mels.folder}"
            )
        if audio.sample_rate != self.spec.sample_rate:
            raise WavewrightError(
                f"{audio.folder}: audio at {audio.sample_rate} Hz, but the mels in {mels.folder} "
                f"are of {self.spec.sample_rate} Hz"
            )
        if segment_length % self.spec.hop_length:
            raise WavewrightError(
                f"segment_length {segment_length} is not a multiple of hop_length "
                f"{self.spec.hop_length}; nearest: "
                f"{max(1, segment_length // self.spec.hop_length) * self.spec.hop_length}"
            )
        if not ids:
            raise WavewrightError(f"{audio.folder}: no utterances to train on")
        self.audio, self.mels, self.ids = audio, mels, sorted(ids)
        self.later_mels, self.switch_at = later_mels, switch_at
        self.frames = segment_length // self.spec.hop_length
        self.batch_size, self.seed = batch_size, seed

    def __len__(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.ids) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of a step: wav (B, segment_length), mel (B, n_mels, frames)."""
        epoch, position = divmod(step, len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))
        picked = np.take(
            order, range(position * self.batch_size, (position + 1) * self.batch_size), mode="wrap"
        )
        ids = [self.ids[i] for i in picked]
        late = self.later_mels is not None and step >= self.switch_at
        mels = self.later_mels if late and self.later_mels is not None else self.mels
        crops = [self._crop(id_, mels, epoch, slot) for slot, id_ in enumerate(ids)]
        return Batch(
            wav=torch.from_numpy(np.stack([wav for wav, _, _ in crops])),
            mel=torch.from_numpy(np.stack([mel for _, mel, _ in crops])),
            ids=ids,
            seeds=[seed for _, _, seed in crops],
        )

    def _crop(
        self, utterance: str, mels: Shards, epoch: int, slot: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Its waveform, its mel, and the seed of its noise."""
        hop = self.spec.hop_length
        blocks = min(mels.length(utterance), self.audio.length(utterance) // hop)
        seed = [self.seed, epoch, zlib.crc32(utterance.encode()), slot]
        random = np.random.default_rng(seed)
        start = int(random.integers(max(1, blocks - self.frames + 1)))
        stop = min(blocks, start + self.frames)
        wav = np.zeros(self.frames * hop, dtype=np.float32)
        mel = silent_mel(self.spec, self.frames)
        wav[: (stop - start) * hop] = self._target(utterance, start * hop, stop * hop)
        mel[:, : stop - start] = mels.crop(utterance, start, stop)
        return wav, mel, int(random.integers(2**62))

    def _target(self, utterance: str, start: int, stop: int) -> np.ndarray:
        """What a vocoder learns: the waveform after the spec's steps, as in the whole utterance."""
        steps = (*self.spec.wav_steps, *self.spec.target_steps)
        before = min(start, memory(steps))
        wav = from_pcm16(self.audio.crop(utterance, start - before, stop))
        if not steps:
            return wav
        done = apply_steps(torch.from_numpy(wav), steps, self.spec.sample_rate)
        return done[before:].numpy()


def _spec_of(shards: Shards) -> MelSpec:
    if shards.mel is None:
        raise WavewrightError(f"{shards.folder}: holds audio where mels are expected")
    return shards.mel
