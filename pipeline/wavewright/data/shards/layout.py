"""Layout of a folder of shards: header, index rows and assignment of utterances."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec

Array = npt.NDArray[Any]
Encoding = Literal["pcm16", "flac"]
INDEX = "index.parquet"
_FORMATS = {1: "pcm16", 2: "flac"}  # readers of format 1 cannot read format 2


class IndexRow(NamedTuple):
    """Location of one utterance in its shard.

    `offset` and `size` are the bytes of the array as it is, or of the FLAC file; `length` counts
    samples or frames, and `rows` is the number of bands of a mel (1 for audio).
    """

    id: str
    shard: str
    offset: int
    size: int
    length: int
    rows: int


class ShardHeader(NamedTuple):
    """Properties shared by all members of a folder."""

    sample_rate: int
    mel: MelSpec | None
    encoding: Encoding = "pcm16"

    def as_json(self) -> str:
        mel = self.mel.non_default_fields() if self.mel else None
        number = 2 if self.encoding == "flac" else 1
        return json.dumps(
            {"format": number, "sample_rate": self.sample_rate, "mel": mel}, sort_keys=True
        )

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> ShardHeader:
        data = json.loads(text)
        if data.get("format") not in _FORMATS:
            raise WavewrightError(
                f"{path}: shard format {data.get('format')} is none of those supported, "
                f"{', '.join(map(str, _FORMATS))}"
            )
        mel = MelSpec.model_validate(data["mel"]) if data["mel"] else None
        encoding: Encoding = "flac" if data["format"] == 2 else "pcm16"
        return cls(data["sample_rate"], mel, encoding)


class ShardTask(NamedTuple):
    """One shard to write; `payloads` has an entry for each id, or is None."""

    number: int
    ids: list[str]
    payloads: list[Any] | None = None

    def __str__(self) -> str:
        return f"{shard_name(self.number)} ({self.ids[0]} to {self.ids[-1]})"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.tar"


def shard_number(name: str) -> int:
    """The number in a shard's file name."""
    return int(name.removeprefix("shard-").removesuffix(".tar"))


def shard_plan(ids: Sequence[str], shard_size: int) -> list[list[str]]:
    """Assign ids to shards; depends on the ids and the shard size only."""
    ordered = sorted(ids)
    return [ordered[i : i + shard_size] for i in range(0, len(ordered), shard_size)]


def require_unique_ids(ids: Iterable[str], where: Path) -> None:
    """Refuse ids that are given more than once."""
    seen: set[str] = set()
    for utterance in ids:
        if utterance in seen:
            raise WavewrightError(f"{where}: utterance '{utterance}' is given more than once")
        seen.add(utterance)


def member_name(utterance: str, suffix: str) -> str:
    """File name of a member.

    WebDataset takes everything before a name's first dot as the key of a sample, so that `a.1` and
    `a.2` would become one sample: dots of an id are written as `%2E`, which no id contains.
    """
    return utterance.replace(".", "%2E") + suffix


def check_array(array: Array, header: ShardHeader) -> None:
    """Refuse an array that a folder with this header cannot hold."""
    if header.mel is None:
        if array.dtype != np.int16 or array.ndim != 1:
            raise WavewrightError(
                f"audio must be int16 (samples,), found {array.dtype} {array.shape}"
            )
    elif array.dtype != np.float32 or array.ndim != 2 or len(array) != header.mel.n_mels:
        raise WavewrightError(
            f"mels must be float32 ({header.mel.n_mels}, frames), found {array.dtype} {array.shape}"
        )
