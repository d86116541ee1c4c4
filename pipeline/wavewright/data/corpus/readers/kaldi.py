"""A Kaldi data folder: wav.scp, text, and, where there are some, segments and utt2spk."""

from __future__ import annotations

from pathlib import Path

from wavewright.data.corpus.readers.common import make_utterance, resolve_path
from wavewright.data.corpus.utterances import CorpusUtterance, read_lines
from wavewright.errors import WavewrightError


def matches(source: Path) -> bool:
    """True if `source` has a wav.scp."""
    return (source / "wav.scp").is_file()


def read(source: Path) -> list[CorpusUtterance]:
    """Read the folder's utterances, cut from recordings if there are segments.

    Raises:
        WavewrightError: a line without a value, a command where a file should be, a segment of a
            recording that is not there.
    """
    recordings = {}
    for name, value in _pairs(source / "wav.scp").items():
        if value.rstrip().endswith("|"):
            raise WavewrightError(
                f"{source / 'wav.scp'}: '{name}' is a command ({value[:60]!r}). Commands are never "
                "run: write the audio to files (Kaldi's wav-copy does) and name those"
            )
        recordings[name] = resolve_path(value, source)
    texts = _pairs(source / "text", empty=True) if (source / "text").is_file() else {}
    speakers = _pairs(source / "utt2spk") if (source / "utt2spk").is_file() else {}
    parts = _segments(source / "segments", set(recordings))
    if parts is None:
        parts = {name: (name, 0.0, None) for name in recordings}
    return [
        make_utterance(
            name,
            recordings[recording],
            where=f"utterance '{name[:40]}'",
            text=texts.get(name, ""),
            speaker=speakers.get(name, ""),
            start=start,
            end=end,
        )
        for name, (recording, start, end) in parts.items()
    ]


def _pairs(path: Path, *, empty: bool = False) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for number, line in read_lines(path):
        name, _, value = line.strip().partition(" ")
        name, value = (name, value) if value or "\t" not in name else tuple(name.split("\t", 1))
        if name in pairs:
            raise WavewrightError(f"{path}: line {number}: '{name}' appears twice")
        if not value.strip() and not empty:
            raise WavewrightError(f"{path}: line {number}: nothing after '{name[:40]}'")
        pairs[name] = value.strip()
    return pairs


def _segments(
    path: Path, recordings: set[str]
) -> dict[str, tuple[str, float, float | None]] | None:
    if not path.is_file():
        return None
    parts: dict[str, tuple[str, float, float | None]] = {}
    for name, value in _pairs(path).items():
        fields = value.split()
        try:
            recording, start, end = fields[0], float(fields[1]), float(fields[2])
        except (IndexError, ValueError):
            raise WavewrightError(
                f"{path}: '{name}': expected RECORDING START END, found {value[:60]!r}"
            ) from None
        if recording not in recordings:
            raise WavewrightError(f"{path}: '{name}' is of '{recording}', which wav.scp has not")
        # Kaldi writes -1 for the end of the recording.
        parts[name] = (recording, start, None if end == -1 else end)
    return parts
