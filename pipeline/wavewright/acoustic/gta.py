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

import numpy as np

from wavewright.acoustic.data import collate, encode_texts, number_speakers
from wavewright.acoustic.gta_shards import Entry, ShardMaker
from wavewright.acoustic.model import AcousticModel, Speech, TextBatch, utterance_seed
from wavewright.checkpoint import load_model
from wavewright.errors import WavewrightError
from wavewright.shards import Array


@dataclass(frozen=True)
class GtaMaker(ShardMaker):
    """Lets a model speak along the recordings.

    Attributes:
        acoustic: run, step or file of an acoustic model.
        device: where the model runs.
        seed: of the noise, with each utterance's id.
        least_diagonality: alignments below it have failed; None accepts all.
        batch_size: utterances made together.
    """

    acoustic: Path
    device: str
    seed: int
    least_diagonality: float | None
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
            batch = self._batch(part, encoded)
            seeds = [utterance_seed(self.seed, id_) for id_ in part]
            for id_, speech in zip(part, self.model.teacher_forced(batch, seeds), strict=True):
                entries.append(self._judge(id_, speech))
                if not entries[-1].reason:
                    made[id_] = speech.mel.numpy()
        entries += [self._entry(id_, reason) for id_, reason in refused.items()]
        return made | self._stand_ins(entries), entries

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
        entry = self._entry(utterance, reason)
        if not reason:
            distance = float(np.abs(spoken - recorded).mean())
            entry = replace(entry, made="gta", frames=spoken.shape[1], mel_l1=distance)
        return replace(
            entry,
            focus=scores.focus,
            diagonality=scores.diagonality,
            coverage=scores.coverage,
        )
