"""Audio and features on disk: uncompressed tar shards and one Parquet index.

A folder of shards holds `shard-00000.tar`, ... (WebDataset layout: one member `ID.wav`, `ID.flac`
or `ID.npy` per utterance) and `index.parquet` with each member's place, so that the same file
serves streaming and random access by byte range. The sha256 of every shard and the MelSpec are
in the index, the MelSpec also in the tar's own header. A shard appears whole or not at all, is
never written again once it is published, and equal inputs give equal bytes.
"""

from wavewright.data.shards.index import publish_index
from wavewright.data.shards.layout import Array, Encoding, IndexRow, ShardHeader, shard_plan
from wavewright.data.shards.reader import Shards
from wavewright.data.shards.upkeep import ShardDamage, append_shards, repair_shards, verify_shards
from wavewright.data.shards.writer import (
    read_finished_shard,
    remove_leftovers,
    write_shard,
    write_shards,
)

__all__ = [
    "Array",
    "Encoding",
    "IndexRow",
    "ShardDamage",
    "ShardHeader",
    "Shards",
    "append_shards",
    "publish_index",
    "read_finished_shard",
    "remove_leftovers",
    "repair_shards",
    "shard_plan",
    "verify_shards",
    "write_shard",
    "write_shards",
]
