"""Recordings and candidates from folders, paired by exact id, in the layout of a report.

An id is a file's path below its folder, without the suffix. Files that cannot be paired or read
are left out and listed; ids are never matched in part.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast, get_args

from wavewright.audio.files import Wav, mix_down, read_channels, resample, save_wav
from wavewright.audio.levels import clipped_share, is_silent
from wavewright.compute.parallel_map import parallel_map
from wavewright.data.corpus.readers.common import audio_files
from wavewright.data.manifest import id_slug
from wavewright.errors import WavewrightError
from wavewright.evaluation.layout import pick_evenly, wav_file
from wavewright.evaluation.results import NATURAL, Event, System, Utterance
from wavewright.metrics.metric import Condition

_CANDIDATE = re.compile(r"(?P<name>[^=@]+)(?:@(?P<condition>[a-z]+))?=(?P<folder>.+)")
_CLIPPED_SHARE = 0.001  # share of clipped samples


@dataclass(frozen=True)
class Candidate:
    """Folder of wavs that the system `name` synthesized under a condition."""

    name: str
    condition: Condition
    folder: Path


class PairedFiles(NamedTuple):
    """Systems, utterances and conditions that were paired and written."""

    systems: list[System]
    utterances: list[Utterance]
    conditions: list[Condition]
    events: list[Event]
    sample_rate: int


class _PairingJob(NamedTuple):
    """One utterance to write: its files, text and speaker."""

    id: str
    text: str
    speaker: str
    files: dict[tuple[str, Condition | None], Path]


def parse_candidate(text: str) -> Candidate:
    """Parse `NAME=DIR`, or `NAME@CONDITION=DIR` where it is not copy-synthesis."""
    match = _CANDIDATE.fullmatch(text)
    if match is None:
        raise WavewrightError(
            f"--candidate {text}: not NAME=DIR or NAME@CONDITION=DIR, such as hifigan@tts=wavs"
        )
    condition = match["condition"] or "copy"
    if condition not in get_args(Condition):
        raise WavewrightError(
            f"--candidate {text}: no condition '{condition}'. Allowed: "
            f"{', '.join(get_args(Condition))}."
        )
    return Candidate(match["name"], cast(Condition, condition), Path(match["folder"]))


def pair(
    folder: Path,
    reference: Path,
    candidates: Sequence[Candidate],
    *,
    sample_rate: int | None = None,
    utterances: int | None = None,
    texts: Mapping[str, str] | None = None,
    speaker_of: Callable[[str], str] = lambda _: "",
    jobs: int = -1,
) -> PairedFiles:
    """Write recordings and candidates as 16-bit WAVs of one rate into a report's folder.

    Args:
        folder: gets `wavs/SYSTEM/CONDITION/ID.wav` and `wavs/natural/recording/ID.wav`.
        reference: folder of the recordings.
        candidates: folders to compare with them.
        sample_rate: to compare at, in Hz; None for the lowest rate of any file, since what a
            lower rate has lost cannot be compared.
        utterances: how many to take, spread over the ids; None for all.
        texts: transcripts by id; ID.txt beside a recording is read too.
        speaker_of: returns the speaker of an id.
        jobs: worker processes.

    Raises:
        WavewrightError: a folder without audio, two files of one id, or no id in common.
    """
    systems = _systems(candidates)
    originals = find_wavs(reference)
    others = {(id_slug(c.name), c.condition): find_wavs(c.folder) for c in candidates}
    titles = {system.id: system.title for system in systems}
    events = [event for key, files in others.items() for event in _unmatched(key, files, originals)]
    common = [name for name in originals if any(name in files for files in others.values())]
    if not common:
        raise WavewrightError(
            f"{reference}: none of its {len(originals)} ids (such as '{next(iter(originals))}') is "
            f"in a candidate's folder (such as '{next(iter(next(iter(others.values()))))}')"
        )
    events += [
        Event(utterance=name, reason="no candidate has it: left out")
        for name in originals
        if name not in common
    ]
    ids = common if utterances is None else pick_evenly(common, utterances)
    transcripts = {**_text_files(originals), **(texts or {})}
    pairing_jobs = []
    for name in ids:
        files: dict[tuple[str, Condition | None], Path] = {(NATURAL, None): originals[name]}
        files |= {key: files_of[name] for key, files_of in others.items() if name in files_of}
        pairing_jobs.append(_PairingJob(name, transcripts.get(name, ""), speaker_of(name), files))
    rates = _rates(path for job in pairing_jobs for path in job.files.values())
    target = sample_rate or min(rates.values(), default=0)
    if not target:
        raise WavewrightError(f"{reference}: none of the files that have a partner can be read")
    write = partial(_write, folder=folder, sample_rate=target)
    outcomes = parallel_map(write, pairing_jobs, jobs=jobs, what="pairing", unit="utterances")
    utterances_written = [utterance for utterance, _ in outcomes if utterance is not None]
    if not utterances_written:
        first = next(event for _, events_of_one in outcomes for event in events_of_one)
        raise WavewrightError(f"{reference}: no recording can be used; {first.reason}")
    events += [event for _, events_of_one in outcomes for event in events_of_one]
    return PairedFiles(
        [_with_rate(system, candidates, pairing_jobs, rates, target) for system in systems],
        utterances_written,
        [c for c in get_args(Condition) if any(one.condition == c for one in candidates)],
        sorted(events, key=lambda event: (event.utterance, titles.get(event.system, ""))),
        target,
    )


def _systems(candidates: Sequence[Candidate]) -> list[System]:
    """Natural speech and every candidate, in the order of the candidates."""
    if not candidates:
        raise WavewrightError("nothing to evaluate: name a candidate with --candidate NAME=DIR")
    names = list(dict.fromkeys(candidate.name for candidate in candidates))
    slugs = [id_slug(name) for name in names]
    duplicates = [slug for slug in slugs if slugs.count(slug) > 1 or slug == NATURAL]
    if duplicates:
        raise WavewrightError(
            f"two systems would be called '{duplicates[0]}' in the report; rename one"
        )
    keys = [(candidate.name, candidate.condition) for candidate in candidates]
    for name, condition in keys:
        if keys.count((name, condition)) > 1:
            raise WavewrightError(f"candidate '{name}' is given twice for condition '{condition}'")
    natural = System(id=NATURAL, title="natural speech", kind="natural")
    return [natural, *(System(id=id_slug(name), title=name, kind="files") for name in names)]


def find_wavs(folder: Path) -> dict[str, Path]:
    """Audio files at any depth by id, in order.

    Raises:
        WavewrightError: no such folder, no audio in it, or two files of one id.
    """
    if not folder.is_dir():
        raise WavewrightError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    for path in audio_files(folder):
        name = id_slug("-".join(path.relative_to(folder).with_suffix("").parts), fill="_")[:128]
        if name in files:
            raise WavewrightError(
                f"{folder}: '{files[name].relative_to(folder)}' and '{path.relative_to(folder)}' "
                f"have the same id '{name}'"
            )
        files[name] = path
    if not files:
        raise WavewrightError(f"{folder}: no audio file in it")
    return files


def _unmatched(
    key: tuple[str, Condition], files: Mapping[str, Path], originals: Mapping[str, Path]
) -> list[Event]:
    system, condition = key
    extra = [(name, "no recording has this id: left out") for name in files.keys() - originals]
    missing = [(name, "there is no such file") for name in originals.keys() - files]
    return [
        Event(utterance=name, system=system, condition=condition, reason=reason)
        for name, reason in [*extra, *missing]
    ]


def _text_files(originals: Mapping[str, Path]) -> dict[str, str]:
    paths = {name: path.with_suffix(".txt") for name, path in originals.items()}
    return {
        name: " ".join(path.read_text("utf-8", "replace").split())
        for name, path in paths.items()
        if path.is_file()
    }


def _rates(paths: Iterable[Path]) -> dict[Path, int]:
    """Sample rates from the headers, without the files that cannot be read."""
    import soundfile

    rates = {}
    for path in paths:
        try:
            rates[path] = int(soundfile.info(path).samplerate)
        except (soundfile.LibsndfileError, RuntimeError, OSError):
            continue
    return rates


def _with_rate(
    system: System,
    candidates: Sequence[Candidate],
    work: Sequence[_PairingJob],
    rates: Mapping[Path, int],
    target: int,
) -> System:
    """Add a system's folders, and its own sample rate where that differs."""
    own = [path for job in work for key, path in job.files.items() if key[0] == system.id]
    other_rates = {rates[path] for path in own if path in rates} - {target}
    folders = [c.folder.name for c in candidates if id_slug(c.name) == system.id]
    changes = {
        "source": ", ".join(folders),
        "sample_rate": max(other_rates) if other_rates else None,
    }
    return system.model_copy(update=changes)


def _write(
    job: _PairingJob, folder: Path, sample_rate: int
) -> tuple[Utterance | None, list[Event]]:
    """Write the files of an utterance; None if its recording cannot be used."""
    events: list[Event] = []
    length = 0
    for (system, condition), source in job.files.items():
        event = partial(Event, utterance=job.id, system=system, condition=condition)
        try:
            wav, remarks = _read(source, sample_rate)
        except WavewrightError as error:
            reason = str(error).replace(f"{source}", source.name)
            if system == NATURAL:
                reason = f"{reason}; the utterance is left out"
                return None, [Event(utterance=job.id, reason=reason)]
            events.append(event(reason=reason))
            continue
        events += [event(reason=remark) for remark in remarks]
        path = folder / wav_file(system, condition or "", job.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_wav(path, wav, sample_rate)
        length = length or len(wav)
    seconds = length / sample_rate
    return Utterance(id=job.id, text=job.text, seconds=seconds, speaker=job.speaker), events


def _read(path: Path, sample_rate: int) -> tuple[Wav, list[str]]:
    """Read a file as mono at `sample_rate`, with remarks for the report."""
    data, rate = read_channels(path)
    remarks = []
    if data.shape[1] > 1:
        remarks.append(f"{data.shape[1]} channels, of which the first was compared")
    wav = mix_down(data, "left")
    share = clipped_share(wav)
    if share > _CLIPPED_SHARE:
        remarks.append(f"{share:.2%} of the samples are clipped")
    if is_silent(wav):
        remarks.append("silent")
    if rate != sample_rate:
        remarks.append(f"brought from {rate:,} Hz to {sample_rate:,} Hz")
    return resample(wav, rate, sample_rate), remarks


def folder_name(path: Path) -> str:
    """Name of a folder, also of `.`."""
    return os.path.basename(path.resolve())
