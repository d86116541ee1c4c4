"""Stimuli of a listening test: one rate, one loudness, one length per utterance."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavewright.audio.files import Wav, load_wav, read_channels, save_wav
from wavewright.audio.levels import is_silent
from wavewright.audio.loudness import decibels, measure_level
from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import ANCHOR, NATURAL, Stimulus
from wavewright.evaluation.pairing import find_wavs
from wavewright.io.files import sha256_of

LEVEL = -26.0  # dBFS, RMS over active speech, where no peak forbids it
CEILING = 0.97  # largest magnitude of any sound
_FADE = 0.01  # seconds
_TAIL = 0.25  # seconds; lengths that differ by no more are cut, others padded


@dataclass(frozen=True)
class SystemFiles:
    """Sound files of the systems.

    Attributes:
        files: by system and utterance, the same utterances for every system.
        missing: utterances of natural speech that some candidates lack, with their names.
    """

    files: Mapping[str, Mapping[str, Path]]
    missing: Mapping[str, str]

    @property
    def utterances(self) -> list[str]:
        """Ids that every system has."""
        return sorted(self.files[NATURAL])

    def sample_rate(self, utterances: Iterable[str]) -> int:
        """Highest sample rate in use, in Hz, so that no system loses a part of its band."""
        ids = list(utterances)
        return max(_rate(own[utterance]) for own in self.files.values() for utterance in ids)


def find_system_files(reference: Path, candidates: Mapping[str, Path]) -> SystemFiles:
    """Find the sounds of each folder, paired by exact id: the name without its suffix.

    Raises:
        WavewrightError: a folder is missing or empty, or no id is in all of them.
    """
    files = {NATURAL: find_wavs(reference)}
    files |= {name: find_wavs(folder) for name, folder in candidates.items()}
    missing: dict[str, str] = {}
    for utterance in files[NATURAL]:
        lacking = [name for name, files in files.items() if utterance not in files]
        if lacking:
            missing[utterance] = ", ".join(lacking)
    shared = sorted(set(files[NATURAL]) - set(missing))
    if not shared:
        other = next(iter(candidates))
        raise WavewrightError(
            f"no utterance is in every folder: {reference} has '{min(files[NATURAL])}' and the "
            f"like, {candidates[other]} has '{min(files[other])}'; file names must be equal"
        )
    return SystemFiles({name: {u: own[u] for u in shared} for name, own in files.items()}, missing)


def _rate(path: Path) -> int:
    return read_channels(path, end=0.01)[1]


def equalize(
    sources: SystemFiles, utterance: str, systems: Iterable[str], sample_rate: int, *, seed: int = 0
) -> dict[str, Wav]:
    """Equalize one utterance of several systems: (samples,) float32 of one length and loudness.

    The RMS over active speech is 1; `write_stimuli` sets the final level. Where
    the lengths differ by no more than a quarter of a second all are cut to the shortest: vocoders
    end at whole frames. Where they differ by more, the timing is another one: nothing is cut, and
    silence is appended. Both ends are faded, so that a cut or a pad makes no click.

    Args:
        sources: where the sounds lie.
        utterance: id.
        systems: names; `anchor` is natural speech with noise as loud as itself.
        sample_rate: Hz, of what is returned.
        seed: of the noise.

    Raises:
        WavewrightError: a file cannot be read, or is silent.
    """
    wavs = {}
    for system in systems:
        path = sources.files[NATURAL if system == ANCHOR else system][utterance]
        wavs[system] = load_wav(path, sample_rate)[0]
        if is_silent(wavs[system]):
            raise WavewrightError(f"{path}: silent, so it cannot be scaled to the others' level")
    shortest, longest = (pick(map(len, wavs.values())) for pick in (min, max))
    length = shortest if longest - shortest <= _TAIL * sample_rate else longest
    equalized = {}
    for system, wav in wavs.items():
        wav = _equally_loud(wav[:length], sample_rate)
        if system == ANCHOR:
            wav = _equally_loud(wav + _noise(len(wav), utterance, seed), sample_rate)
        equalized[system] = np.pad(wav, (0, length - len(wav)))
    return equalized


def _equally_loud(wav: Wav, sample_rate: int) -> Wav:
    """Remove the mean, fade in and out, and scale to an RMS over active speech of 1."""
    fade = min(round(_FADE * sample_rate), len(wav) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade, endpoint=False)) ** 2
    shape = np.concatenate([ramp, np.ones(len(wav) - 2 * fade), ramp[::-1]])
    shaped = ((wav - wav.mean(dtype=np.float64)) * shape).astype(np.float32)
    level = measure_level(shaped, sample_rate)
    loudness = max(math.sqrt(level.energy / level.samples), 1e-10)
    return np.asarray(shaped / loudness, dtype=np.float32)


def _noise(samples: int, utterance: str, seed: int) -> Wav:
    own = random.Random(f"{seed} {utterance}").getrandbits(64)
    return np.random.default_rng(own).normal(size=samples).astype(np.float32)


def write_stimuli(
    sources: SystemFiles,
    sounds: Mapping[str, Stimulus],
    folder: Path,
    sample_rate: int,
    *,
    seed: int = 0,
) -> tuple[dict[str, Stimulus], float]:
    """Write NAME.wav for every random name, all equally loud, 16 bits.

    Where the default level would clip any of them, all are lowered by the same amount. All files
    get the same modification time, so that it reveals nothing.

    Returns:
        The sounds with their digests, and their level in dBFS.
    """
    gain = min(10 ** (LEVEL / 20), CEILING / _highest(sources, sounds, sample_rate, seed))
    folder.mkdir(parents=True)
    for utterance, wavs in _by_utterance(sources, sounds, sample_rate, seed):
        for name, sound in sounds.items():
            if sound.utterance == utterance:
                save_wav(folder / f"{name}.wav", gain * wavs[sound.system], sample_rate)
    now = time.time()
    written = {}
    for name, sound in sounds.items():
        path = folder / f"{name}.wav"
        os.utime(path, (now, now))
        written[name] = sound.model_copy(update={"sha256": sha256_of(path)})
    return written, decibels(gain)


def _highest(
    sources: SystemFiles, sounds: Mapping[str, Stimulus], sample_rate: int, seed: int
) -> float:
    every = _by_utterance(sources, sounds, sample_rate, seed)
    return max(float(np.abs(wav).max()) for _, wavs in every for wav in wavs.values())


def _by_utterance(
    sources: SystemFiles, sounds: Mapping[str, Stimulus], sample_rate: int, seed: int
) -> Iterator[tuple[str, dict[str, Wav]]]:
    for utterance in sorted({sound.utterance for sound in sounds.values()}):
        systems = sorted({s.system for s in sounds.values() if s.utterance == utterance})
        yield utterance, equalize(sources, utterance, systems, sample_rate, seed=seed)
