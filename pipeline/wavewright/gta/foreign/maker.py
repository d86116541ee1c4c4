"""GTA shards out of mels that another toolkit made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from wavewright.data.shards import Array, IndexRow
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import Found
from wavewright.gta.shard_maker import Entry, ShardMaker
from wavewright.mel.files import Floats, Layout, array_to_mel
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, silent_mel

Length = Literal["exact", "trim", "pad"]


@dataclass(frozen=True)
class ForeignMaker(ShardMaker):
    """Reads, converts and measures mels.

    Attributes:
        found: the mel of each utterance that has one.
        source: what the mels are called in messages.
        like: their convention.
        layout: the order of their axes.
        padded: the last frame may be padding, one value in all bands, which is cut.
        length: what may be done at the end of a mel; see `fitted`.
    """

    found: Mapping[str, Found]
    source: str
    like: MelSpec
    layout: Layout
    padded: bool
    length: Length

    def parts(
        self, members: Sequence[tuple[int, list[str]]], found: Mapping[str, Found]
    ) -> list[Part]:
        """A maker for each shard, which is sent to a worker with the shard's own mels only."""
        return [
            Part(replace(self, found={i: found[i] for i in ids if i in found}), (number, ids))
            for number, ids in members
        ]

    def make(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[Entry]]:
        """Mels by id, and an entry for each id, in no given order."""
        known, refused = self._known(ids)
        made: dict[str, Array] = {}
        entries = []
        for utterance in known:
            try:
                made[utterance], entry = self._taken(utterance)
                entries.append(entry)
            except (WavewrightError, OSError) as error:
                refused[utterance] = str(error)
        entries += [self._entry(utterance, reason) for utterance, reason in refused.items()]
        return made | self._stand_ins(entries), entries

    def _taken(self, utterance: str) -> tuple[Floats, Entry]:
        """The mel of an utterance in the convention of the natural one, and as long."""
        if utterance not in self.found:
            raise WavewrightError(f"{self.source} has no mel of it")
        found, natural = self.found[utterance], self.natural.array(utterance)
        read = array_to_mel(found.read(), found.path, self.like, self.layout, option="gta.layout=")
        padding = int(self.padded and read.shape[1] > 1 and np.ptp(read[:, -1]) == 0)
        kept = torch.from_numpy(read[:, : read.shape[1] - padding].copy())
        mel = convert_mel(kept, self.like, self.spec).numpy()
        if not np.isfinite(mel).all():
            raise WavewrightError(f"{found.where}: numbers that are not finite once converted")
        remark = ", without its last, which is padding" if padding else ""
        where = f"{found.where}: has {mel.shape[1]} frames{remark}"
        fit = fitted(mel, natural.shape[1], self.length, self.spec, where=where)
        change = fit.shape[1] - mel.shape[1]
        return fit, Entry(
            id=utterance,
            made="gta",
            frames_natural=natural.shape[1],
            frames=fit.shape[1],
            mel_l1=float(np.abs(fit - natural).mean()),
            cut=padding + max(-change, 0),
            padded=max(change, 0),
        )


@dataclass(frozen=True)
class Part:
    """One shard's maker, and its number and ids."""

    maker: ForeignMaker
    task: tuple[int, list[str]]

    def finish(self) -> tuple[list[IndexRow], list[Entry]]:
        """Make the shard, unless an interrupted run has."""
        return self.maker.finish_shard(self.task)

    def __str__(self) -> str:
        return f"shard {self.task[0]}"


def fitted(mel: Floats, frames: int, length: Length, spec: MelSpec, *, where: str) -> Floats:
    """A mel of exactly that many frames.

    Args:
        mel: (n_mels, frames of the file).
        frames: of the natural mel.
        length: "exact" changes nothing; "trim" cuts one frame too many off the end; "pad" does,
            and also puts one frame of silence there where one is missing.
        spec: the mel's convention, which says what silence is.
        where: names the file and what it has, for the message.

    Raises:
        WavewrightError: it has another number of frames than may be changed.
    """
    surplus = mel.shape[1] - frames
    if surplus == 0:
        return mel
    if surplus == 1 and length != "exact":
        return mel[:, :frames]
    if surplus == -1 and length == "pad":
        return np.concatenate([mel, silent_mel(spec, 1)], axis=1)
    help_ = {1: "; gta.length=trim cuts it", -1: "; gta.length=pad adds a silent one"}
    raise WavewrightError(f"{where}, where the natural mel has {frames}{help_.get(surplus, '')}")
