"""Batches of texts with their mels, for training and for teacher forcing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from wavewright.acoustic.lexicon import phone_text
from wavewright.data.shards import Array, Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel
from wavewright.models.acoustic import AcousticModel, TextBatch
from wavewright.text.textgrid import read_alignment

_POOL = 16  # batches per pool; utterances are sorted by length within a pool


def model_text(model: AcousticModel, text: str, grid: Path | None) -> str:
    """Input text of a recording for a model: its transcript, or the phones of its TextGrid.

    Args:
        model: the acoustic model.
        text: normalised transcript.
        grid: path of the TextGrid; None if there is none.

    Raises:
        WavewrightError: the model reads phones, and the TextGrid is missing or unreadable.
    """
    if not model.reads_phones:
        return text
    if grid is None:
        raise WavewrightError("it has no TextGrid to take phones from")
    return phone_text(read_alignment(grid), text)


def encode_texts(
    model: AcousticModel, texts: Mapping[str, str], grids: Mapping[str, Path] | None = None
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Encode texts as symbol indices, or their phones if the model reads phones.

    Args:
        model: the acoustic model.
        texts: normalised transcripts by utterance id.
        grids: TextGrid paths by utterance id, where available.

    Returns:
        Symbol indices by id; and the reason by id for each text that cannot be encoded.
    """
    encoded, refused = {}, {}
    for utterance, text in texts.items():
        try:
            input_text = model_text(model, text, (grids or {}).get(utterance))
            encoded[utterance] = model.encode_text(input_text)
        except WavewrightError as error:
            refused[utterance] = str(error)
    return encoded, refused


def index_speakers(
    model: AcousticModel, names: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Speaker index of each utterance, for `collate`.

    Args:
        model: the acoustic model.
        names: speaker names by utterance id.

    Returns:
        Indices by id, empty for a single-speaker model; and the reason by id for each unknown
        speaker.
    """
    indices, refused = {}, {}
    for utterance, name in names.items() if model.speakers else ():
        try:
            indices[utterance] = model.speaker_index(name)
        except WavewrightError as error:
            refused[utterance] = str(error)
    return indices, refused


def collate(
    mels: Shards,
    spec: MelSpec,
    ids: Sequence[str],
    texts: Mapping[str, list[int]],
    alignment_targets: Mapping[str, Array] | None = None,
    speakers: Mapping[str, int] | None = None,
    pitch: Mapping[str, Array] | None = None,
) -> TextBatch:
    """Pad utterances to the longest: texts with symbol 0, mels with silence.

    Args:
        mels: natural mels.
        spec: spec of the mels.
        ids: utterances of the batch, in order.
        texts: symbol indices by id.
        alignment_targets: (frames,) by id, where known; None leaves the batch's out.
        speakers: speaker indices by id; empty or None leaves the batch's out.
        pitch: F0 in Hz (frames,) by id; None leaves the batch's out.
    """
    symbols = [len(texts[id_]) for id_ in ids]
    frames = [mels.length(id_) for id_ in ids]
    text = np.zeros((len(ids), max(symbols)), dtype=np.int64)
    mel = np.stack([silent_mel(spec, max(frames))] * len(ids))
    targets = np.full((len(ids), max(frames)), np.nan, dtype=np.float32)
    f0 = np.zeros((len(ids), max(frames)), dtype=np.float32)
    for row, id_ in enumerate(ids):
        text[row, : symbols[row]] = texts[id_]
        mel[row, :, : frames[row]] = mels.array(id_)
        if alignment_targets is not None and id_ in alignment_targets:
            targets[row, : frames[row]] = alignment_targets[id_]
        if pitch is not None:
            f0[row, : frames[row]] = pitch[id_][: frames[row]]
    return TextBatch(
        text=torch.from_numpy(text),
        text_lengths=torch.tensor(symbols),
        mel=torch.from_numpy(mel),
        mel_lengths=torch.tensor(frames),
        ids=list(ids),
        alignment_targets=None if alignment_targets is None else torch.from_numpy(targets),
        speaker=torch.tensor([speakers[id_] for id_ in ids]) if speakers else None,
        f0=None if pitch is None else torch.from_numpy(f0),
    )


class TextMelData:
    """Training batches of full utterances, of similar length within a batch.

    The composition and order of batches depend on (seed, epoch) alone. An epoch consists of full
    batches; the utterances left over differ from epoch to epoch.

    Args:
        mels: natural mels.
        texts: symbol indices of the training utterances; all must be in `mels`.
        batch_size: utterances per step, over all processes.
        seed: seed of the order.
        longest_frames: longer utterances are left out; None keeps all.
        alignment_targets: (frames,) by id, for utterances that have them.
        speakers: speaker indices by id, for multi-speaker models.
        pitch: F0 in Hz (frames,) by id, for models that learn from it.
    """

    def __init__(
        self,
        mels: Shards,
        texts: Mapping[str, list[int]],
        *,
        batch_size: int,
        seed: int,
        longest_frames: int | None = None,
        alignment_targets: Mapping[str, Array] | None = None,
        speakers: Mapping[str, int] | None = None,
        pitch: Mapping[str, Array] | None = None,
    ) -> None:
        if mels.mel is None:
            raise WavewrightError(f"{mels.folder}: holds audio where mels are expected")
        self.mels, self.spec, self.texts = mels, mels.mel, texts
        self.alignment_targets, self.speakers, self.pitch = alignment_targets, speakers, pitch
        self.ids = [
            id_
            for id_ in sorted(texts)
            if longest_frames is None or mels.length(id_) <= longest_frames
        ]
        if not self.ids:
            raise WavewrightError(
                f"{mels.folder}: none of {len(texts)} utterances is left to train on"
                + (f" under {longest_frames} frames" if texts and longest_frames else "")
            )
        self.batch_size, self.seed = min(batch_size, len(self.ids)), seed
        self._frames = [mels.length(id_) for id_ in self.ids]
        self._planned: tuple[int, list[list[str]]] = (-1, [])

    def __len__(self) -> int:
        """Number of steps per epoch."""
        return len(self.ids) // self.batch_size

    def batch(self, step: int, share: int = 0, shares: int = 1) -> TextBatch:
        """Batch of a step, counted over all epochs; or every `shares`-th utterance of it."""
        epoch, position = divmod(step, len(self))
        ids = self._epoch(epoch)[position][share::shares]
        columns = (self.alignment_targets, self.speakers, self.pitch)
        return collate(self.mels, self.spec, ids, self.texts, *columns)

    def _epoch(self, epoch: int) -> list[list[str]]:
        """Batches of one epoch: shuffled, sorted by length within pools, shuffled again."""
        if self._planned[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            order = random.permutation(len(self.ids))[: len(self) * self.batch_size]
            size = self.batch_size * _POOL
            pools = [order[start : start + size] for start in range(0, len(order), size)]
            sorted_ = [i for pool in pools for i in sorted(pool, key=self._frames.__getitem__)]
            ids = [self.ids[i] for i in sorted_]
            starts = random.permutation(len(self)) * self.batch_size
            self._planned = epoch, [ids[start : start + self.batch_size] for start in starts]
        return self._planned[1]
