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

_POOL = 16  # batches among which utterances of like length are put together


def script(model: AcousticModel, text: str, grid: Path | None) -> str:
    """What a model is to read of a recording: its text, or the phones of its TextGrid.

    Args:
        model: that reads.
        text: normalised.
        grid: the TextGrid; None if there is none.

    Raises:
        WavewrightError: the model reads phones, and there is no TextGrid or it is not readable.
    """
    if not model.reads_phones:
        return text
    if grid is None:
        raise WavewrightError("it has no TextGrid to take phones from")
    return phone_text(read_alignment(grid), text)


def encode_texts(
    model: AcousticModel, texts: Mapping[str, str], grids: Mapping[str, Path] | None = None
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Number the texts of utterances, or their phones where the model reads those.

    Args:
        model: whose symbols to use.
        texts: by utterance id.
        grids: TextGrids by utterance id, of those that have one.

    Returns:
        The numbers by id, and, for each text that cannot be read, the reason by id.
    """
    encoded, refused = {}, {}
    for utterance, text in texts.items():
        try:
            read = script(model, text, (grids or {}).get(utterance))
            encoded[utterance] = model.encode_text(read)
        except WavewrightError as error:
            refused[utterance] = str(error)
    return encoded, refused


def number_speakers(
    model: AcousticModel, names: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Number who speaks each utterance, for `collate`.

    Args:
        model: whose speakers to use.
        names: by utterance id.

    Returns:
        The numbers by id, none for a model of one voice; and, for each speaker that the model
        does not know, the reason by id.
    """
    numbers, refused = {}, {}
    for utterance, name in names.items() if model.speakers else ():
        try:
            numbers[utterance] = model.speaker_number(name)
        except WavewrightError as error:
            refused[utterance] = str(error)
    return numbers, refused


def collate(
    mels: Shards,
    spec: MelSpec,
    ids: Sequence[str],
    texts: Mapping[str, list[int]],
    places: Mapping[str, Array] | None = None,
    speakers: Mapping[str, int] | None = None,
) -> TextBatch:
    """Pad utterances to the longest: texts with symbol 0, mels with silence.

    Args:
        mels: natural mels.
        spec: of the mels.
        ids: utterances of the batch, in this order.
        texts: numbered texts by id.
        places: the symbol spoken at each frame, where known; None leaves `TextBatch.places` out.
        speakers: their numbers by id; none leaves `TextBatch.speaker` out.
    """
    symbols = [len(texts[id_]) for id_ in ids]
    frames = [mels.length(id_) for id_ in ids]
    text = np.zeros((len(ids), max(symbols)), dtype=np.int64)
    mel = np.stack([silent_mel(spec, max(frames))] * len(ids))
    where = np.full((len(ids), max(frames)), np.nan, dtype=np.float32)
    for row, id_ in enumerate(ids):
        text[row, : symbols[row]] = texts[id_]
        mel[row, :, : frames[row]] = mels.array(id_)
        if places is not None and id_ in places:
            where[row, : frames[row]] = places[id_]
    return TextBatch(
        text=torch.from_numpy(text),
        text_lengths=torch.tensor(symbols),
        mel=torch.from_numpy(mel),
        mel_lengths=torch.tensor(frames),
        ids=list(ids),
        places=None if places is None else torch.from_numpy(where),
        speaker=torch.tensor([speakers[id_] for id_ in ids]) if speakers else None,
    )


class TextMelData:
    """Training batches of whole utterances, of like length within a batch.

    Which utterances meet in a batch, and the order of batches, depend on (seed, epoch) alone.
    An epoch holds as many full batches as there are; what is left over differs from epoch to
    epoch.

    Args:
        mels: natural mels.
        texts: numbered texts of the utterances to train on; all must be in `mels`.
        batch_size: utterances of a step, over all processes.
        seed: of the order.
        longest_frames: utterances with more frames are left out; None means none are.
        places: the symbol spoken at each frame, for those utterances where that is known.
        speakers: numbers of who speaks them, for models that know several.
    """

    def __init__(
        self,
        mels: Shards,
        texts: Mapping[str, list[int]],
        *,
        batch_size: int,
        seed: int,
        longest_frames: int | None = None,
        places: Mapping[str, Array] | None = None,
        speakers: Mapping[str, int] | None = None,
    ) -> None:
        if mels.mel is None:
            raise WavewrightError(f"{mels.folder}: holds audio where mels are expected")
        self.mels, self.spec, self.texts = mels, mels.mel, texts
        self.places, self.speakers = places, speakers
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
        """Steps of an epoch."""
        return len(self.ids) // self.batch_size

    def batch(self, step: int, share: int = 0, shares: int = 1) -> TextBatch:
        """The batch of a step, counted over all epochs; or every `shares`-th utterance of it."""
        epoch, position = divmod(step, len(self))
        ids = self._epoch(epoch)[position][share::shares]
        return collate(self.mels, self.spec, ids, self.texts, self.places, self.speakers)

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
