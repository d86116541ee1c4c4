"""F0 tracks of a corpus, one value per frame of the mels, in one Parquet file.

Source of the tracks: WORLD's dio and stonemask, or harvest (`wavewright.metrics.world`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec

if TYPE_CHECKING:
    import pandas as pd

PITCH_FILE = "pitch.parquet"
Tracker = Literal["dio", "harvest"]


def resample_track(f0: np.ndarray, step: float, mel: MelSpec, frames: int) -> np.ndarray:
    """Sample an F0 track at the centers of a mel's frames.

    Args:
        f0: (n,) in Hz every `step` seconds from 0 on; 0 where unvoiced.
        step: seconds.
        mel: convention of the mel.
        frames: of the mel.

    Returns:
        (frames,) float32: linear between two voiced values, else the nearer one.
    """
    offset = 0.5 if mel.framing == "hop" else 0.0
    seconds = (np.arange(frames) + offset) * mel.hop_length / mel.sample_rate
    place = np.clip(seconds / step, 0, len(f0) - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, len(f0) - 1)
    share = place - left
    line = (1 - share) * f0[left] + share * f0[right]
    nearest = np.where(share < 0.5, f0[left], f0[right])
    both = (f0[left] > 0) & (f0[right] > 0)
    sampled: np.ndarray = np.where(both, line, nearest).astype(np.float32)
    return sampled


def track_f0(
    wav: np.ndarray, sample_rate: int, mel: MelSpec, tracker: Tracker = "dio"
) -> np.ndarray:
    """Track F0 at the centers of a waveform's mel frames.

    Args:
        wav: (samples,) in [-1, 1].
        sample_rate: Hz, the mel's.
        mel: convention of the frames.
        tracker: WORLD's dio with stonemask, or harvest.

    Returns:
        (frames,) float32 in Hz, 0 where unvoiced; all 0 if the waveform is too short to track.
    """
    from wavewright.metrics.metric import Undefined
    from wavewright.metrics.world import STEP, HashableWav, f0_track

    frames = mel.frames(len(wav))
    try:
        track = f0_track(HashableWav(wav, sample_rate), tracker)
    except Undefined:
        return np.zeros(frames, np.float32)
    return resample_track(track, STEP, mel, frames)


def write_pitch(folder: Path, tracks: Mapping[str, np.ndarray], mel: MelSpec) -> None:
    """Write the tracks of all utterances, by id, with the convention of their frames."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "id": pa.array(list(tracks), pa.string()),
            "f0": pa.array([track.tolist() for track in tracks.values()], pa.list_(pa.float32())),
        },
        metadata={"mel": mel.bands_first.model_dump_json()},
    )
    pq.write_table(table, folder / PITCH_FILE, compression="zstd")


class PitchTracks(Mapping[str, np.ndarray]):
    """F0 tracks by utterance id, (frames,) float32 in Hz, 0 where unvoiced.

    Args:
        folder: where `write_pitch` wrote.

    Attributes:
        mel: convention whose frames the tracks have.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        self.folder = folder
        file = folder / PITCH_FILE
        if not file.is_file():
            raise WavewrightError(f"{file}: no such F0 tracks; the stage 'pitch' makes them")
        table = pq.read_table(file)
        self.mel = MelSpec.model_validate_json(table.schema.metadata[b"mel"])
        columns: pd.DataFrame = table.to_pandas()
        tracks = (np.asarray(track, np.float32) for track in columns["f0"])
        self._tracks = dict(zip(columns["id"], tracks, strict=True))

    def __getitem__(self, utterance: str) -> np.ndarray:
        """F0 of one utterance."""
        if utterance not in self._tracks:
            raise WavewrightError(f"{self.folder / PITCH_FILE}: no F0 track of '{utterance}'")
        track: np.ndarray = self._tracks[utterance]
        return track

    def __iter__(self) -> Iterator[str]:
        """Utterance ids."""
        return iter(self._tracks)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self._tracks)
