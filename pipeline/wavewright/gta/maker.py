"""Making ground-truth-aligned (GTA) mels with an acoustic model.

The model is in eval mode: batch norm and dropout rest, except for the prenet's dropout, which is
part of how it speaks and is drawn from a seed of each utterance's own. What comes after the
postnet is kept, cut to the recording's true number of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from wavewright.acoustic.data import collate, encode_texts, number_speakers
from wavewright.checkpoints.checkpoint import load_model
from wavewright.data.shards import Array, IndexRow
from wavewright.errors import WavewrightError
from wavewright.gta.shard_maker import Entry, ShardMaker, one_thread
from wavewright.models.acoustic import AcousticModel, Speech, TextBatch, utterance_seed

Doubtful = Literal["keep", "refuse"]


@dataclass(frozen=True)
class GtaMaker(ShardMaker):
    """Lets a model speak along the recordings.

    Attributes:
        acoustic: run, step or file of an acoustic model.
        device: where the model runs.
        seed: of the noise, with each utterance's id.
        least_diagonality: alignments below it have failed; None accepts all.
        doubtful: whether utterances whose alignment is in doubt are kept, or have failed.
        draws: of noise, whose mels are averaged.
        batch_size: utterances made together.
    """

    acoustic: Path
    device: str
    seed: int
    least_diagonality: float | None
    doubtful: Doubtful
    draws: int
    batch_size: int

    @cached_property
    def model(self) -> AcousticModel:
        """The acoustic model, which must speak the convention of the natural mels."""
        model = load_model(self.acoustic, self.device)
        if not isinstance(model, AcousticModel):
            raise WavewrightError(f"{self.acoustic}: holds the vocoder '{model.name}'")
        model.mel.require_equal(
            self.spec,
            mine=f"the acoustic model in {self.acoustic}",
            theirs=f"the mels in {self.mels}",
        )
        return model

    def make(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[Entry]]:
        """Mels by id, and an entry for each id; in batches of like length, in no given order."""
        encoded, refused = self._readable(ids)
        lengths = {id_: self.natural.length(id_) for id_ in encoded}
        ready = sorted(lengths, key=lambda id_: (lengths[id_], id_))
        made: dict[str, Array] = {}
        entries: list[Entry] = []
        for start in range(0, len(ready), self.batch_size):
            part = ready[start : start + self.batch_size]
            for id_, speech in zip(part, self._follow(part, encoded), strict=True):
                entries.append(self._judge(id_, speech))
                if not entries[-1].reason:
                    made[id_] = speech.mel.numpy()
        entries += [self._entry(id_, reason) for id_, reason in refused.items()]
        return made | self._stand_ins(entries), entries

    def follow(self, ids: Sequence[str]) -> list[tuple[Speech, list[int]]]:
        """What the model says along the recordings of `ids`, and the numbers that it reads."""
        encoded, _ = self._readable(ids)
        with one_thread():
            return [(self._follow([id_], encoded)[0], encoded[id_]) for id_ in ids]

    def _follow(self, ids: Sequence[str], encoded: Mapping[str, list[int]]) -> list[Speech]:
        """One batch along its recordings, in order: the mean over all draws of noise."""
        batch = self._batch(ids, encoded)
        drawn = [
            self.model.teacher_forced(batch, [self._noise(id_, draw) for id_ in ids])
            for draw in range(self.draws)
        ]
        return [_mean(speeches) for speeches in zip(*drawn, strict=True)]

    def _noise(self, utterance: str, draw: int) -> int:
        """The seed of one draw for one utterance."""
        return utterance_seed(self.seed, f"{utterance}/draw {draw}" if draw else utterance)

    def _readable(self, ids: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, str]]:
        """Numbered texts of what can be made, and reasons for what cannot."""
        known, refused = self._known(ids)
        told = {id_: self.texts[id_] for id_ in known}
        grids = {id_: self.prepared / t.alignment for id_, t in told.items() if t.alignment}
        encoded, unreadable = encode_texts(self.model, {i: t.text for i, t in told.items()}, grids)
        _, strangers = number_speakers(self.model, {i: t.speaker for i, t in told.items()})
        refused = refused | strangers | unreadable
        return {id_: numbers for id_, numbers in encoded.items() if id_ not in refused}, refused

    def _batch(self, ids: Sequence[str], encoded: Mapping[str, list[int]]) -> TextBatch:
        """What the model follows of readable utterances."""
        names = {id_: self.texts[id_].speaker for id_ in ids}
        speakers, _ = number_speakers(self.model, names)
        return collate(self.natural, self.spec, ids, encoded, speakers=speakers)

    def _judge(self, utterance: str, speech: Speech) -> Entry:
        """Accept a made mel, or say what is wrong with it."""
        recorded, spoken = self.natural.array(utterance), speech.mel.numpy()
        scores, floor, reason = speech.scores, self.least_diagonality, ""
        if spoken.shape != recorded.shape:
            reason = f"the model gave {spoken.shape[1]} frames for {recorded.shape[1]}"
        elif not np.isfinite(spoken).all():
            reason = "the model gave numbers that are not finite"
        elif floor is not None and scores.diagonality < floor:
            reason = f"diagonality {scores.diagonality:.3f} is below {floor:g}"
        elif self.doubtful == "refuse" and scores.doubt:
            reason = f"the acoustic model {scores.doubt}"
        entry = self._entry(utterance, reason)
        if not reason:
            distance = float(np.abs(spoken - recorded).mean())
            entry = replace(entry, made="gta", frames=spoken.shape[1], mel_l1=distance)
        return replace(entry, **scores._asdict(), doubt=scores.doubt)


@dataclass(frozen=True)
class GtaPart:
    """One process's list of shards, by number and ids."""

    maker: GtaMaker
    shards: Sequence[tuple[int, list[str]]]

    def finish(self) -> list[tuple[list[IndexRow], list[Entry]]]:
        """Make each shard, unless an interrupted run has."""
        return [self.maker.finish_shard(shard) for shard in self.shards]

    def __str__(self) -> str:
        return f"{len(self.shards)} shards on {self.maker.device}"


def _mean(speeches: Sequence[Speech]) -> Speech:
    """Of one utterance's draws: mel by mel in its own unit, weight by weight."""
    if len(speeches) == 1:
        return speeches[0]
    return Speech(
        mel=torch.stack([speech.mel for speech in speeches]).mean(dim=0),
        alignment=torch.stack([speech.alignment for speech in speeches]).mean(dim=0),
        stopped=speeches[0].stopped,
    )
