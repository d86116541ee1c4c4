"""What every maker of GTA shards does: resume shard by shard, and account for each utterance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from wavewright.data.manifest import read_manifest, usable_rows
from wavewright.data.shards import (
    Array,
    IndexRow,
    ShardHeader,
    Shards,
    read_finished_shard,
    write_shard,
)
from wavewright.data.shards.layout import shard_name
from wavewright.errors import WavewrightError
from wavewright.io.files import write_text
from wavewright.mel.spec import MelSpec

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
        focus, diagonality, coverage, order: of the alignment; see `scores.AlignmentScores`.
        doubt: what the alignment says went wrong.
        reason: why it was not made.
        cut, padded: frames taken from, and silent ones put to, the end of a mel that was read.
    """

    id: str
    made: str
    frames_natural: int = 0
    frames: int = 0
    mel_l1: float | None = None
    focus: float | None = None
    diagonality: float | None = None
    coverage: float | None = None
    order: float | None = None
    doubt: str = ""
    reason: str = ""
    cut: int = 0
    padded: int = 0


_TEXT = ("id", "normalised_text", "samples", "speaker", "alignment")


class Text(NamedTuple):
    """What the manifest says of an utterance."""

    text: str
    samples: int
    speaker: str
    alignment: str


@dataclass(frozen=True)
class ShardMaker:
    """Makes the shards of one folder; picklable, and opens its files where it works.

    Attributes:
        prepared: folder of the manifest.
        mels: folder of natural mels.
        gta: folder to fill.
        missing: what becomes of utterances that cannot be made.
    """

    prepared: Path
    mels: Path
    gta: Path
    missing: Missing

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files and models: every process opens its own."""
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
    def texts(self) -> dict[str, Text]:
        """Every usable utterance of the manifest."""
        rows = usable_rows(read_manifest(self.prepared / "manifest.parquet"))
        columns = (rows[name].tolist() for name in _TEXT)
        return {id_: Text(*row) for id_, *row in zip(*columns, strict=True)}

    def finish_shard(self, task: tuple[int, list[str]]) -> tuple[list[IndexRow], list[Entry]]:
        """Make a shard of the given number and ids, unless an interrupted run has."""
        number, ids = task
        notes = self.gta / f"shard-{number:05d}.notes.json"
        kept = read_finished_shard(self.gta, number)
        if kept is not None and notes.is_file():
            return kept, [Entry(*row) for row in json.loads(notes.read_text())]
        with one_thread():
            made, entries = self.make(ids)
        write_text(notes, json.dumps([list(vars(entry).values()) for entry in entries]))
        items = [(id_, made[id_]) for id_ in ids if id_ in made]
        header = ShardHeader(self.natural.sample_rate, self.spec)
        return write_shard(self.gta, number, items, header), entries

    def make(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[Entry]]:
        """Mels by id, and an entry for each id, in no given order."""
        raise NotImplementedError

    def without_mel(self) -> list[Entry]:
        """Usable utterances of the manifest that have no natural mel to follow."""
        reason = f"{self.mels} has no natural mel of it"
        return [Entry(i, "no", reason=reason) for i in self.texts if i not in self.natural]

    def _known(self, ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Ids that have a text and a natural mel as long as their audio, and what others lack."""
        known = {id_: self.texts[id_] for id_ in ids if id_ in self.texts}
        refused = {i: "the manifest has no such usable utterance" for i in ids if i not in known}
        refused |= self._wrong_lengths(known)
        return [id_ for id_ in known if id_ not in refused], refused

    def _stand_ins(self, entries: Sequence[Entry]) -> dict[str, Array]:
        """Natural mels of what was not made, where they are asked for."""
        return {e.id: self.natural.array(e.id) for e in entries if e.made == "natural"}

    def _wrong_lengths(self, texts: Mapping[str, Text]) -> dict[str, str]:
        """Utterances whose natural mel is not as long as their audio says."""
        expected = {id_: self.spec.frames(entry.samples) for id_, entry in texts.items()}
        return {
            id_: f"its natural mel has {self.natural.length(id_)} frames, but its "
            f"{texts[id_].samples} samples make {frames}"
            for id_, frames in expected.items()
            if frames == 0 or frames != self.natural.length(id_)
        }

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


@contextmanager
def one_thread() -> Iterator[None]:
    """The last bits of a sum depend on how it was shared out among threads: here it is not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Members(NamedTuple):
    """Number of a shard, and the ids in it, in their order."""

    number: int
    ids: list[str]

    def __str__(self) -> str:
        return f"{shard_name(self.number)} ({self.ids[0]} to {self.ids[-1]})"


def membership(mels: Path) -> list[Members]:
    """Every shard of a folder."""
    import pandas as pd

    index = pd.read_parquet(mels / "index.parquet", columns=["id", "shard", "offset"])
    members: dict[str, list[str]] = {}
    for row in index.sort_values(["shard", "offset"]).itertuples():
        members.setdefault(str(row.shard), []).append(str(row.id))
    return [
        Members(int(name.removeprefix("shard-").removesuffix(".tar")), ids)
        for name, ids in members.items()
    ]
