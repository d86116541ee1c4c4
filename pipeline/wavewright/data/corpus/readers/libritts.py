"""A LibriTTS tree (Zen et al. 2019): [SUBSET/]SPEAKER/CHAPTER/ID.wav beside ID.normalized.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavewright.data.corpus.readers.common import make_utterance, read_text
from wavewright.data.corpus.utterances import CorpusUtterance

_NORMALISED = ".normalized.txt"


def matches(source: Path) -> bool:
    """True if `source` is a LibriTTS subset or a folder of subsets."""
    return source.is_dir() and next(_chapters(source), None) is not None


def _chapters(source: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield (subset, speaker, chapter folder) for every chapter."""
    for depth, pattern in ((1, "*/*"), (2, "*/*/*"), (3, "*/*/*/*")):
        for chapter in sorted(source.glob(pattern)):
            if chapter.is_dir() and next(chapter.glob(f"*{_NORMALISED}"), None) is not None:
                parts = chapter.relative_to(source).parts
                yield (parts[-3] if depth > 1 else source.name, parts[-2], chapter)


def read(source: Path) -> list[CorpusUtterance]:
    """Read all utterances; subsets named train-*, dev-* or test-* are the official splits."""
    utterances = []
    for subset, speaker, chapter in _chapters(source):
        split = subset.partition("-")[0]
        for audio in sorted(chapter.glob("*.wav")) + sorted(chapter.glob("*.flac")):
            normalised = audio.with_name(audio.stem + _NORMALISED)
            utterances.append(
                make_utterance(
                    audio.stem,
                    audio,
                    where=f"in {chapter.relative_to(source)}",
                    text=read_text(audio.with_name(audio.stem + ".original.txt")),
                    normalised=read_text(normalised),
                    speaker=speaker,
                    split=split if split in ("train", "dev", "test") else "",
                )
            )
    return utterances
