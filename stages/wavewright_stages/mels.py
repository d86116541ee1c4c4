"""Stage 2: the log-mel of every prepared utterance, in tar shards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import In, Out, Unkeyed, stage

if TYPE_CHECKING:
    import numpy as np

    from wavewright.data.shards import Shards


@stage(version=2)
def mels(prepared: In, mels: Out, *, mel: MelSpec, jobs: Unkeyed[int] = -1) -> None:
    """Extract the natural mels of all usable utterances.

    Args:
        prepared: manifest and audio shards.
        mels: float32 (n_mels, frames) shards of the manifest's usable rows, one to one with the
            audio's.
        mel: Mel convention.
        jobs: Worker processes; -1 means one per CPU.
    """
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.data.shards import Shards, write_shards

    audio = Shards(prepared / "audio")
    if audio.sample_rate != mel.sample_rate:
        raise WavewrightError(
            f"{audio.folder}: audio at {audio.sample_rate} Hz, but mel.sample_rate is "
            f"{mel.sample_rate} Hz"
        )
    ids = usable_rows(read_manifest(prepared / "manifest.parquet"))["id"].tolist()
    write_shards(
        mels,
        ids,
        partial(_log_mel_of, audio=audio, spec=mel),
        mel=mel,
        sample_rate=mel.sample_rate,
        jobs=jobs,
        like=audio.folder,
        what="mels",
    )


def _log_mel_of(utterance: str, audio: Shards, spec: MelSpec) -> np.ndarray:
    from wavewright.audio.files import from_pcm16
    from wavewright.mel.transform_numpy import log_mel_numpy

    try:
        return log_mel_numpy(from_pcm16(audio.array(utterance)), spec)
    except WavewrightError as error:
        raise WavewrightError(f"utterance '{utterance}': {error}") from error
