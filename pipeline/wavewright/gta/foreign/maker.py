"""GTA shards from mels that another toolkit made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from wavewright.data.shards import Array, IndexRow
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import ExternalMel
from wavewright.gta.shard_maker import ReportRow, ShardMaker
from wavewright.mel.files import Floats, Layout, array_to_mel
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, silent_mel

Length = Literal["exact", "trim", "pad"]


@dataclass(frozen=True)
class ForeignMaker(ShardMaker):
    """Maker of GTA shards from external mels: reads, converts and measures them.

    Attributes:
        external: mel of each utterance that has one, by id.
        source: name of the mels, for messages.
        source_spec: convention of the mels.
        layout: order of their axes.
        padded: the last frame may be padding (one value in all bands), which is cut.
        length: allowed changes of length; see `fit_length`.
    """

    external: Mapping[str, ExternalMel]
    source: str
    source_spec: MelSpec
    layout: Layout
    padded: bool
    length: Length

    def shard_tasks(
        self, members: Sequence[tuple[int, list[str]]], external: Mapping[str, ExternalMel]
    ) -> list[ShardTask]:
        """One task per shard, each carrying only that shard's mels to its worker."""
        return [
            ShardTask(
                replace(self, external={i: external[i] for i in ids if i in external}),
                (number, ids),
            )
            for number, ids in members
        ]

    def make_mels(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[ReportRow]]:
        """Mels by id, and a report row for each id, in any order."""
        known, refused = self._known(ids)
        mels: dict[str, Array] = {}
        rows = []
        for utterance in known:
            try:
                mels[utterance], row = self._convert(utterance)
                rows.append(row)
            except (WavewrightError, OSError) as error:
                refused[utterance] = str(error)
        rows += [self._failed(utterance, reason) for utterance, reason in refused.items()]
        return mels | self._substitutes(rows), rows

    def _convert(self, utterance: str) -> tuple[Floats, ReportRow]:
        """Mel of an utterance in the convention and length of its natural mel."""
        if utterance not in self.external:
            raise WavewrightError(f"{self.source} has no mel of it")
        external, natural = self.external[utterance], self.natural.array(utterance)
        array = array_to_mel(
            external.read(), external.path, self.source_spec, self.layout, option="gta.layout="
        )
        padding = int(self.padded and array.shape[1] > 1 and np.ptp(array[:, -1]) == 0)
        unpadded = torch.from_numpy(array[:, : array.shape[1] - padding].copy())
        mel = convert_mel(unpadded, self.source_spec, self.spec).numpy()
        if not np.isfinite(mel).all():
            raise WavewrightError(
                f"{external.location}: numbers that are not finite once converted"
            )
        remark = ", without its last, which is padding" if padding else ""
        where = f"{external.location}: has {mel.shape[1]} frames{remark}"
        fit = fit_length(mel, natural.shape[1], self.length, self.spec, where=where)
        change = fit.shape[1] - mel.shape[1]
        return fit, ReportRow(
            id=utterance,
            made="gta",
            frames_natural=natural.shape[1],
            frames=fit.shape[1],
            mel_l1=float(np.abs(fit - natural).mean()),
            cut=padding + max(-change, 0),
            padded=max(change, 0),
        )


@dataclass(frozen=True)
class ShardTask:
    """One shard's maker, with the shard's number and ids."""

    maker: ForeignMaker
    shard: tuple[int, list[str]]

    def make_shard(self) -> tuple[list[IndexRow], list[ReportRow]]:
        """Make the shard, unless an interrupted run already has."""
        return self.maker.make_shard(self.shard)

    def __str__(self) -> str:
        return f"shard {self.shard[0]}"


def fit_length(mel: Floats, frames: int, length: Length, spec: MelSpec, *, where: str) -> Floats:
    """Cut or pad a mel to the given number of frames.

    Args:
        mel: (n_mels, frames of the file).
        frames: frames of the natural mel.
        length: "exact" changes nothing; "trim" cuts one extra frame off the end; "pad" also adds
            one frame of silence where one is missing.
        spec: the mel's convention, which defines silence.
        where: file and its number of frames, for the message.

    Raises:
        WavewrightError: the length differs by more than `length` allows.
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
