"""Making ground-truth-aligned (GTA) mels, shard by shard.

The model is in eval mode: batch norm and dropout rest, except for the prenet's dropout, which is
part of how it speaks and is drawn from a seed of each utterance's own. What comes after the
postnet is kept, cut to the recording's true number of frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from wavewright.acoustic.data import collate, encode_texts
from wavewright.acoustic.model import AcousticModel, Speech, utterance_seed
from wavewright.checkpoint import load_model
from wavewright.errors import WavewrightError
from wavewright.files import write_text
from wavewright.manifest import read_manifest, usable
from wavewright.melspec import MelSpec
from wavewright.shards import Array, Header, Row, Shards, finished_rows, write_shard

Missing = Literal["fail", "natural", "leave_out"]


@dataclass(frozen=True, order=True)
class Entry:
    """What became of one utterance.

    Attributes:
        id: the utterance.
        made: "gta", "natural" (its natural mel stands in) or "no".
        frames_natural: of the natural mel.
        frames: of what was written, 0 for nothing.
        mel_l1: mean absolute difference to the natural mel, in the mel's own unit.
        focus, diagonality, coverage: of the alignment; see `scores.AlignmentScores`.
        reason: why it was not made.
    """

    id: str
    made: str
    frames_natural: int = 0
    frames: int = 0
    mel_l1: float | None = None
    focus: float | None = None
    diagonality: float | None = None
    coverage: float | None = None
    reason: str = ""


class Text(NamedTuple):
    """What the manifest says of an utterance."""

    text: str
    samples: int


@dataclass(frozen=True)
class GtaMaker:
    """Makes the shards of one folder; picklable, and opens its files where it works.

    Attributes:
        prepared: folder of the manifest.
        mels: folder of natural mels.
        acoustic: run, step or file of an acoustic model.
        gta: folder to fill.
        device: where the model runs.
        seed: of the noise, with each utterance's id.
        missing: what becomes of utterances that cannot be made.
        least_diagonality: alignments below it have failed; None accepts all.
        batch_size: utterances made together.
    """

    prepared: Path
    mels: Path
    acoustic: Path
    gta: Path
    device: str
    seed: int
    missing: Missing
    least_diagonality: float | None
    batch_size: int

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files and the model: every process opens its own."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def natural(self) -> Shards:
        """The natural mels."""
        return Shards(self.mels)

    @cached_property
    def spec(self) -> MelSpec:
        """Of the natural mels."""
        if self.natural.mel is None:
            raise WavewrightError(f"{self.mels}: holds audio where mels are expected")
        return self.natural.mel

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

    @cached_property
    def texts(self) -> dict[str, Text]:
        """Every usable utterance of the manifest."""
        rows = usable(read_manifest(self.prepared / "manifest.parquet"))
        columns = (rows[name].tolist() for name in ("id", "normalised_text", "samples"))
        return {id_: Text(*row) for id_, *row in zip(*columns, strict=True)}

    def finish_shard(self, task: tuple[int, list[str]]) -> tuple[list[Row], list[Entry]]:
        """Make a shard of the given number and ids, unless an interrupted run has."""
        number, ids = task
        notes = self.gta / f"shard-{number:05d}.notes.json"
        kept = finished_rows(self.gta, number)
        if kept is not None and notes.is_file():
            return kept, [Entry(*row) for row in json.loads(notes.read_text())]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the last bits of a sum depend on how it was shared out
        try:
            made, entries = self.make(ids)
        finally:
            torch.set_num_threads(threads)
        write_text(notes, json.dumps([list(vars(entry).values()) for entry in entries]))
        items = [(id_, made[id_]) for id_ in ids if id_ in made]
        header = Header(self.natural.sample_rate, self.spec)
        return write_shard(self.gta, number, items, header), entries

    def make(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[Entry]]:
        """Mels by id, and an entry for each id; in batches of like length, in no given order."""
        encoded, refused = self._readable(ids)
        lengths = {id_: self.natural.length(id_) for id_ in encoded}
        ready = sorted(lengths, key=lambda id_: (lengths[id_], id_))
        made: dict[str, Array] = {}
        entries = []
        for start in range(0, len(ready), self.batch_size):
            part = ready[start : start + self.batch_size]
            batch = collate(self.natural, self.spec, part, encoded)
            seeds = [utterance_seed(self.seed, id_) for id_ in part]
            for id_, speech in zip(part, self.model.teacher_forced(batch, seeds), strict=True):
                entries.append(self._judge(id_, speech))
                if not entries[-1].reason:
                    made[id_] = speech.mel.numpy()
        entries += [self._entry(id_, reason) for id_, reason in refused.items()]
        if self.missing == "natural":
            made |= {e.id: self.natural.array(e.id) for e in entries if e.made == "natural"}
        return made, entries

    def without_mel(self) -> list[Entry]:
        """Usable utterances of the manifest that have no natural mel to follow."""
        reason = f"{self.mels} has no natural mel of it"
        return [Entry(i, "no", reason=reason) for i in self.texts if i not in self.natural]

    def _readable(self, ids: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, str]]:
        """Numbered texts of what can be made, and reasons for what cannot."""
        known = {id_: self.texts[id_] for id_ in ids if id_ in self.texts}
        refused = {i: "the manifest has no such usable utterance" for i in ids if i not in known}
        refused |= self._wrong_lengths(known)
        texts = {id_: entry.text for id_, entry in known.items() if id_ not in refused}
        encoded, unreadable = encode_texts(self.model, texts)
        return encoded, refused | unreadable

    def _wrong_lengths(self, texts: Mapping[str, Text]) -> dict[str, str]:
        """Utterances whose natural mel is not as long as their audio says."""
        expected = {id_: self.spec.frames(entry.samples) for id_, entry in texts.items()}
        return {
            id_: f"its natural mel has {self.natural.length(id_)} frames, but its "
            f"{texts[id_].samples} samples make {frames}"
            for id_, frames in expected.items()
            if frames == 0 or frames != self.natural.length(id_)
        }

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

    def _entry(self, utterance: str, reason: str) -> Entry:
        """An utterance that is not made."""
        frames, natural = self.natural.length(utterance), self.missing == "natural"
        return Entry(
            id=utterance,
            made="natural" if natural else "no",
            frames_natural=frames,
            frames=frames if natural else 0,
            reason=reason,
        )


def membership(mels: Path) -> list[tuple[int, list[str]]]:
    """Number and ids of every shard in a folder, members in their order."""
    import pandas as pd

    index = pd.read_parquet(mels / "index.parquet", columns=["id", "shard", "offset"])
    members: dict[str, list[str]] = {}
    for row in index.sort_values(["shard", "offset"]).itertuples():
        members.setdefault(str(row.shard), []).append(str(row.id))
    return [
        (int(name.removeprefix("shard-").removesuffix(".tar")), ids)
        for name, ids in members.items()
    ]
