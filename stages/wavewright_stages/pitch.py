"""Stage: the F0 track of every prepared utterance, frame by frame beside its mel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import In, Out, Unkeyed, stage

if TYPE_CHECKING:
    import numpy as np

    from wavewright.data.shards import Shards


@stage(version=1)
def pitch(
    prepared: In,
    pitch: Out,
    *,
    mel: MelSpec,
    tracker: Literal["dio", "harvest"] = "dio",
    jobs: Unkeyed[int] = -1,
) -> None:
    """Track the F0 of all usable utterances, for vocoders and acoustic models that need pitch.

    Args:
        prepared: manifest and audio shards.
        pitch: pitch.parquet, F0 in Hz per mel frame, 0 where unvoiced.
        mel: Mel convention, whose frames the tracks have.
        tracker: WORLD's `dio` with stonemask, from 71 Hz, or the slower `harvest`, from 40 Hz.
        jobs: Worker processes; -1 means one per CPU.
    """
    from wavewright.compute.parallel_map import parallel_map
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.data.pitch import write_pitch
    from wavewright.data.shards import Shards

    audio = Shards(prepared / "audio")
    if audio.sample_rate != mel.sample_rate:
        raise WavewrightError(
            f"{audio.folder}: audio at {audio.sample_rate} Hz, but mel.sample_rate is "
            f"{mel.sample_rate} Hz"
        )
    ids = usable_rows(read_manifest(prepared / "manifest.parquet"))["id"].tolist()
    work = partial(_track, audio=audio, mel=mel, tracker=tracker)
    tracks = parallel_map(work, ids, jobs=jobs, what="pitch", unit="utterances")
    write_pitch(pitch, dict(zip(ids, tracks, strict=True)), mel)


def _track(
    utterance: str, audio: Shards, mel: MelSpec, tracker: Literal["dio", "harvest"]
) -> np.ndarray:
    from wavewright.audio.files import from_pcm16
    from wavewright.data.pitch import track_f0

    wav = from_pcm16(audio.array(utterance))
    return track_f0(wav, audio.sample_rate, mel, tracker)
