"""Base of the makers of GTA shards: resumes shard by shard, and reports on each utterance."""

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

OnMissing = Literal["fail", "natural", "leave_out"]


@dataclass(frozen=True, order=True)
class ReportRow:
    """One utterance's row of report.csv; the fields are its columns.

    Attributes:
        id: the utterance.
        made: "gta", "natural" (substituted by its natural mel) or "no".
        frames_natural: frames of the natural mel.
        frames: frames written; 0 if nothing was.
        mel_l1: mean absolute difference to the natural mel, in the mel's own unit.
        focus, diagonality, coverage, order: see `AlignmentScores`.
        doubt: see `AlignmentScores.alignment_failure`.
        reason: why the mel was not made.
        cut, padded: frames cut off, and silent frames added at, the end of an external mel.
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


class ManifestText(NamedTuple):
    """Fields of an utterance in the manifest."""

    text: str
    samples: int
    speaker: str
    alignment: str


@dataclass(frozen=True)
class ShardMaker:
    """Maker of the shards of one folder; picklable, opens its files in the worker.

    Attributes:
        prepared: folder of the manifest.
        mels: folder of natural mels.
        gta: output folder.
        on_missing: treatment of utterances that cannot be made.
    """

    prepared: Path
    mels: Path
    gta: Path
    on_missing: OnMissing

    def __getstate__(self) -> dict[str, Any]:
        """State without open files and models: every process opens its own."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def natural(self) -> Shards:
        """Shards of the natural mels."""
        return Shards(self.mels)

    @cached_property
    def spec(self) -> MelSpec:
        """Mel spec of the natural mels."""
        if self.natural.mel is None:
            raise WavewrightError(f"{self.mels}: holds audio where mels are expected")
        return self.natural.mel

    @cached_property
    def texts(self) -> dict[str, ManifestText]:
        """Manifest fields of all usable utterances, by id."""
        rows = usable_rows(read_manifest(self.prepared / "manifest.parquet"))
        columns = (rows[name].tolist() for name in _TEXT)
        return {id_: ManifestText(*row) for id_, *row in zip(*columns, strict=True)}

    def make_shard(self, task: tuple[int, list[str]]) -> tuple[list[IndexRow], list[ReportRow]]:
        """Make a shard, given its number and ids, unless an interrupted run already has."""
        number, ids = task
        notes = self.gta / f"shard-{number:05d}.notes.json"
        finished = read_finished_shard(self.gta, number)
        if finished is not None and notes.is_file():
            return finished, [ReportRow(*row) for row in json.loads(notes.read_text())]
        with single_threaded():
            mels, rows = self.make_mels(ids)
        write_text(notes, json.dumps([list(vars(row).values()) for row in rows]))
        items = [(id_, mels[id_]) for id_ in ids if id_ in mels]
        header = ShardHeader(self.natural.sample_rate, self.spec)
        return write_shard(self.gta, number, items, header), rows

    def make_mels(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[ReportRow]]:
        """Mels by id, and a report row for each id, in any order."""
        raise NotImplementedError

    def rows_without_mel(self) -> list[ReportRow]:
        """Report rows of usable utterances that have no natural mel."""
        reason = f"{self.mels} has no natural mel of it"
        return [ReportRow(i, "no", reason=reason) for i in self.texts if i not in self.natural]

    def _known(self, ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Ids with a text and a natural mel of the right length; reasons for the others."""
        known = {id_: self.texts[id_] for id_ in ids if id_ in self.texts}
        refused = {i: "the manifest has no such usable utterance" for i in ids if i not in known}
        refused |= self._wrong_lengths(known)
        return [id_ for id_ in known if id_ not in refused], refused

    def _substitutes(self, rows: Sequence[ReportRow]) -> dict[str, Array]:
        """Natural mels of the rows that are marked to be substituted."""
        return {e.id: self.natural.array(e.id) for e in rows if e.made == "natural"}

    def _wrong_lengths(self, texts: Mapping[str, ManifestText]) -> dict[str, str]:
        """Reasons by id, for natural mels whose length does not match the audio."""
        expected = {id_: self.spec.frames(row.samples) for id_, row in texts.items()}
        return {
            id_: f"its natural mel has {self.natural.length(id_)} frames, but its "
            f"{texts[id_].samples} samples make {frames}"
            for id_, frames in expected.items()
            if frames == 0 or frames != self.natural.length(id_)
        }

    def _failed(self, utterance: str, reason: str) -> ReportRow:
        """Report row of an utterance that is not made."""
        frames, natural = self.natural.length(utterance), self.on_missing == "natural"
        return ReportRow(
            id=utterance,
            made="natural" if natural else "no",
            frames_natural=frames,
            frames=frames if natural else 0,
            reason=reason,
        )


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run torch on one thread: the last bits of a sum depend on how threads share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class ShardMembers(NamedTuple):
    """Number of a shard, and its ids in order."""

    number: int
    ids: list[str]

    def __str__(self) -> str:
        return f"{shard_name(self.number)} ({self.ids[0]} to {self.ids[-1]})"


def list_shard_members(mels: Path) -> list[ShardMembers]:
    """List the shards of a folder with their ids."""
    import pandas as pd

    index = pd.read_parquet(mels / "index.parquet", columns=["id", "shard", "offset"])
    members: dict[str, list[str]] = {}
    for row in index.sort_values(["shard", "offset"]).itertuples():
        members.setdefault(str(row.shard), []).append(str(row.id))
    return [
        ShardMembers(int(name.removeprefix("shard-").removesuffix(".tar")), ids)
        for name, ids in members.items()
    ]
