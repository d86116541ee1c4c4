"""Training crops for mel-conditioned vocoders, read from shards by byte range.

A batch is a function of (seed, step) alone: which utterances, in which order and which part of
each depend on no worker, rank or earlier step. That is what makes a resumed run exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavewright.audio.files import from_pcm16
from wavewright.audio.filters import apply_filters, filter_history
from wavewright.data.pitch import PitchTracks
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel, silent_mel
from wavewright.models.batch import Batch, Padding
from wavewright.models.vocoder import Vocoder


@dataclass
class DeferredMelBatch(Batch):
    """Batch whose mels are silent until `to` computes them, on the training device.

    Attributes:
        padded: (B, (frames - 1) * hop_length + n_fft), what each crop's mel is made of.
        frames: of each crop; what is left of its length is silence.
        spec: of the mels.
    """

    padded: Tensor = field(kw_only=True)
    frames: list[int] = field(kw_only=True)
    spec: MelSpec = field(kw_only=True)

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device and compute its mels there."""
        done = super().to(device)
        computed = log_mel(
            self.padded.to(device, non_blocking=True), self.spec, includes_padding=True
        )
        mel = done.mel.clone()
        for item, frames in enumerate(self.frames):
            mel[item, :, :frames] = computed[item, :, :frames]
        return Batch(done.wav, mel, done.ids, done.seeds, labels=done.labels, f0=done.f0)


class CropData:
    """Random crops of (waveform, mel) pairs.

    Args:
        audio: shards of the waveforms.
        mels: shards of the mels used from step 0 on.
        ids: utterances to draw from; all must be in the shards.
        segment_length: samples of a crop, a multiple of the hop length.
        batch_size: crops of a step, over all processes.
        seed: of order and crops.
        crops_per_utterance: crops of each utterance that a step draws; divides batch_size.
        compute_mels: make the mels from the waveforms, on the training's device, instead of
            reading them; only for natural mels of a spec without `wav_steps`.
        context_frames: frames of the mels before and after each crop that come with it.
        padding: of what lies beyond an utterance's ends, in those frames.
        labels: of the utterances, for vocoders that tell some apart.
        pitch: F0 tracks, for vocoders that learn from them.
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
        crops_per_utterance: int = 1,
        compute_mels: bool = False,
        context_frames: int = 0,
        padding: Padding = "replicate",
        labels: Mapping[str, str] | None = None,
        pitch: PitchTracks | None = None,
        later_mels: Shards | None = None,
        switch_at: int = 0,
    ) -> None:
        self.spec = _spec_of(mels)
        if later_mels is not None:
            self.spec.require_equal(
                _spec_of(later_mels), mine=f"{mels.folder}", theirs=f"{later_mels.folder}"
            )
        if pitch is not None and (
            (pitch.mel.hop_length, pitch.mel.framing, pitch.mel.sample_rate)
            != (self.spec.hop_length, self.spec.framing, self.spec.sample_rate)
        ):
            raise WavewrightError(
                f"{pitch.folder}: F0 tracks have frames of {pitch.mel.hop_length} samples at "
                f"{pitch.mel.sample_rate} Hz (framing {pitch.mel.framing}), but the mels in "
                f"{mels.folder} have {self.spec.hop_length} at {self.spec.sample_rate} Hz "
                f"({self.spec.framing})"
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
        if batch_size % crops_per_utterance:
            raise WavewrightError(
                f"batch_size {batch_size} is not a multiple of crops_per_utterance "
                f"{crops_per_utterance}"
            )
        if compute_mels and self.spec.wav_steps:
            raise WavewrightError(
                "compute_mels cannot make mels after wav_steps "
                f"({', '.join(step.step for step in self.spec.wav_steps)}); set it to false"
            )
        if compute_mels and context_frames:
            raise WavewrightError(
                f"compute_mels cannot make the {context_frames} frames of context that this "
                "vocoder reads; set it to false"
            )
        if not ids:
            raise WavewrightError(f"{audio.folder}: no utterances to train on")
        self.audio, self.mels, self.ids = audio, mels, sorted(ids)
        self.later_mels, self.switch_at = later_mels, switch_at
        self.frames = segment_length // self.spec.hop_length
        self.batch_size, self.seed = batch_size, seed
        self.context_frames, self.padding = context_frames, padding
        self.labels, self.pitch = labels or {}, pitch
        self.crops_per_utterance, self.compute_mels = crops_per_utterance, compute_mels

    def __len__(self) -> int:
        """Steps of an epoch, in which every utterance is drawn from once."""
        return max(1, len(self.ids) * self.crops_per_utterance // self.batch_size)

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Batch:
        """Batch of a step, or a share of it: every `shares`-th crop from number `share` on.

        wav (B, segment_length), mel (B, n_mels, frames).
        """
        epoch, position = divmod(step, len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))
        each = self.batch_size // self.crops_per_utterance
        picked = np.take(order, range(position * each, (position + 1) * each), mode="wrap")
        slots = range(share, self.batch_size, shares)
        crops = [self._crop_of(self.ids[picked[slot % each]], step, epoch, slot) for slot in slots]
        wavs = [self._wav(crop) for crop in crops]
        late = self.later_mels if step >= self.switch_at else None
        computed = self.compute_mels and late is None
        mels = [self._mel(crop, None if computed else late or self.mels) for crop in crops]
        content = (
            torch.from_numpy(np.stack(wavs)),
            torch.from_numpy(np.stack(mels)),
            [crop.utterance for crop in crops],
            [crop.seed for crop in crops],
            self.context_frames,
            [self.labels[crop.utterance] for crop in crops] if self.labels else [],
            None if self.pitch is None else torch.from_numpy(np.stack([*map(self._f0, crops)])),
        )
        if not computed:
            return Batch(*content)
        padded = torch.from_numpy(np.stack([self._padded(crop) for crop in crops]))
        frames = [crop.stop - crop.start for crop in crops]
        return DeferredMelBatch(*content, padded=padded, frames=frames, spec=self.spec)

    def wavs(self) -> Iterator[np.ndarray]:
        """(segment_length) of every utterance, as in the first epoch."""
        for utterance in self.ids:
            yield self._wav(self._crop_of(utterance, 0, 0, 0))

    def _crop_of(self, utterance: str, step: int, epoch: int, slot: int) -> _Crop:
        late = self.later_mels is not None and step >= self.switch_at
        mels = self.later_mels if late and self.later_mels is not None else self.mels
        blocks = min(mels.length(utterance), self.audio.length(utterance) // self.spec.hop_length)
        random = np.random.default_rng([self.seed, epoch, zlib.crc32(utterance.encode()), slot])
        start = int(random.integers(max(1, blocks - self.frames + 1)))
        stop = min(blocks, start + self.frames)
        return _Crop(utterance, start, stop, int(random.integers(2**62)))

    def _mel(self, crop: _Crop, mels: Shards | None) -> np.ndarray:
        context = self.context_frames
        mel = silent_mel(self.spec, self.frames + 2 * context)
        if mels is None:
            return mel
        start, stop = crop.start - context, crop.stop + context
        first, last = max(0, start), min(stop, mels.length(crop.utterance))
        read = mels.crop(crop.utterance, first, last)
        mel[:, first - start : last - start] = read
        if self.padding == "replicate":
            mel[:, : first - start] = read[:, :1]
            mel[:, last - start : stop - start] = read[:, -1:]
        return mel

    def _f0(self, crop: _Crop) -> np.ndarray:
        """F0 of a crop's frames and of its context; 0 beyond the utterance's ends."""
        assert self.pitch is not None
        track, start = self.pitch[crop.utterance], crop.start - self.context_frames
        f0 = np.zeros(self.frames + 2 * self.context_frames, np.float32)
        known = track[max(0, start) : crop.stop + self.context_frames]
        f0[max(0, -start) : max(0, -start) + len(known)] = known
        return f0

    def _wav(self, crop: _Crop) -> np.ndarray:
        """Target waveform: the crop after the spec's steps, as in the whole utterance."""
        hop = self.spec.hop_length
        wav = np.zeros(self.frames * hop, dtype=np.float32)
        steps = (*self.spec.wav_steps, *self.spec.target_steps)
        before = min(crop.start * hop, filter_history(steps))
        pcm = self.audio.crop(crop.utterance, crop.start * hop - before, crop.stop * hop)
        read = from_pcm16(pcm)
        if steps:
            read = apply_filters(torch.from_numpy(read), steps, self.spec.sample_rate).numpy()
        wav[: (crop.stop - crop.start) * hop] = read[before:]
        return wav

    def _padded(self, crop: _Crop) -> np.ndarray:
        """Samples of a crop's frames, padded beyond the utterance's ends as the spec pads."""
        spec, length = self.spec, self.audio.length(crop.utterance)
        first = crop.start * spec.hop_length - spec.padding
        last = first + (self.frames - 1) * spec.hop_length + spec.n_fft
        before, after = max(0, -first), max(0, last - length)
        start, stop = max(0, first), min(last, length)
        if before:  # what a reflection needs
            stop = min(length, max(stop, spec.padding + 1))
        if after:
            start = max(0, min(start, length - spec.padding - 1))
        read = from_pcm16(self.audio.crop(crop.utterance, start, stop))
        after = min(after, spec.padding)  # frames beyond are silence anyway
        whole = np.pad(read, (before, after), mode=spec.pad_mode)
        skip = first - (start - before)
        padded = np.zeros(last - first, dtype=np.float32)
        part = whole[skip : skip + last - first]
        padded[: len(part)] = part
        return padded


def full_utterance_batch(
    audio: Shards, mels: Shards, utterance: str, vocoder: Vocoder, label: str = ""
) -> Batch:
    """Training batch that holds one utterance from end to end."""
    spec = _spec_of(mels)
    frames = min(mels.length(utterance), audio.length(utterance) // spec.hop_length)
    data = CropData(
        audio,
        mels,
        [utterance],
        segment_length=frames * spec.hop_length,
        batch_size=1,
        seed=0,
        context_frames=vocoder.crops.context_frames,
        padding=vocoder.crops.padding,
        labels={utterance: label},
    )
    return data.batch(0)


class _Crop(NamedTuple):
    """Frames [start, stop) of an utterance, and the seed of its noise."""

    utterance: str
    start: int
    stop: int
    seed: int


def _spec_of(shards: Shards) -> MelSpec:
    if shards.mel is None:
        raise WavewrightError(f"{shards.folder}: holds audio where mels are expected")
    return shards.mel
