"""Bring a speech corpus into the layout that `corpus` reads: from a folder, or spoken here.

Folders may have that layout already, or hold (there or in `data/`) pairs of `ID.wav` and `ID.txt`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from wavewright.alignment import write_alignment
from wavewright.audio import from_pcm16, save_wav
from wavewright.corpus import AUDIO, files_by_id, read_lines
from wavewright.errors import WavewrightError
from wavewright.espeak import speak
from wavewright.manifest import check_id
from wavewright.progress import progress

_LARGEST_COPY = 10**9  # bytes of audio
_ABOUT = re.compile(r"readme|licen[cs]e|copying", re.IGNORECASE)  # what a corpus says of itself
log = logging.getLogger("wavewright")


def publish_corpus(
    source: str | Path,
    corpus: str | Path,
    *,
    follow_links: bool = False,
    link: bool | None = None,
) -> None:
    """Put a corpus in either layout into the folder `corpus`, in the layout that is kept.

    Text is copied. Audio is copied up to 1 GB in all, so that nothing that happens to the source
    can change what was published; beyond that it is hard-linked where the filesystem can.

    Args:
        source: the corpus, or a folder with nothing but the corpus's folder in it.
        corpus: filled; files that an interrupted call left are replaced.
        follow_links: whether symbolic links may lead out of the source.
        link: whether audio is hard-linked, where the filesystem can; None decides by its size.

    Raises:
        WavewrightError: neither layout, or symbolic links out of the source.
    """
    source, corpus = _root(Path(source)), Path(corpus)
    audio, lines = _pairs(source)
    if (source / "metadata.csv").is_file():
        audio = [*_files(source / "wavs", AUDIO)]
        _put(source, [source / "metadata.csv"], corpus, follow_links, link=False)
    else:
        (corpus / "metadata.csv").write_text("".join(lines), encoding="utf-8", newline="\n")
    about = [path for path in sorted(source.iterdir()) if _ABOUT.search(path.name)]
    _put(source, about, corpus, follow_links, link=False)
    for name, suffix in (("alignments", ".TextGrid"), ("splits", ".txt")):
        _put(source, _files(source / name, (suffix,)), corpus / name, follow_links, link=False)
    if link is None:
        link = sum(path.stat().st_size for path in audio if path.is_file()) > _LARGEST_COPY
    _put(source, audio, corpus / "wavs", follow_links, link=link)


def _root(source: Path) -> Path:
    """The folder that holds the corpus: this one, or the only folder in it."""
    if not source.is_dir():
        raise WavewrightError(f"{source}: no such folder")
    if (source / "metadata.csv").is_file() or _pairs(source)[0]:
        return source
    folders = [path for path in source.iterdir() if path.is_dir() and path.name[0] != "."]
    if len(folders) == 1 and folders[0].name not in ("wavs", "data"):
        return _root(folders[0])
    raise WavewrightError(
        f"{source}: neither metadata.csv with wavs/ID.wav (LJSpeech layout) nor pairs of ID.wav "
        "and ID.txt (there or in data/)"
    )


def _pairs(source: Path) -> tuple[list[Path], list[str]]:
    """Audio files with a text beside them, and the metadata they make."""
    folder = source / "data" if (source / "data").is_dir() else source
    audio = {path.stem: path for path in _files(folder, AUDIO)}
    texts = {path.stem: path for path in _files(folder, (".txt",))}
    if not audio.keys() & texts.keys():
        return [], []
    lines = []
    for name in sorted(audio.keys() | texts.keys()):
        words = [line for _, line in read_lines(texts[name])] if name in texts else []
        text = " ".join(" ".join(words).split())
        lines.append(f"{name}|{text}|{text}\n")
    return [audio[name] for name in sorted(audio)], lines


def _files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    return [path for paths in files_by_id(folder, suffixes).values() for path in paths]


def _put(
    source: Path, files: Iterable[Path], folder: Path, follow_links: bool, *, link: bool
) -> None:
    """Copy or link regular files; anything else that carries such a name is left out, and said."""
    root = source.resolve()
    for path in files:
        origin = Path(os.path.realpath(path))
        if not origin.is_relative_to(root) and not follow_links:
            raise WavewrightError(
                f"{path}: a symbolic link out of the corpus, to {origin}. If that is meant, allow "
                "it with --set download.follow_links=true"
            )
        try:
            regular = stat.S_ISREG(origin.stat().st_mode)
        except OSError:  # a link to nothing, or a loop
            regular = False
        if not regular:
            log.warning("%s: not a regular file, left out", path)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        _place(origin, folder / path.name, link=link)


def _place(origin: Path, target: Path, *, link: bool) -> None:
    target.unlink(missing_ok=True)
    if link:
        try:
            os.link(origin, target)
            return
        except OSError:
            pass  # another filesystem, or one without hard links
    try:
        shutil.copyfile(origin, target)
    except OSError as error:
        raise WavewrightError(f"{error.filename or target}: {error.strerror}") from error


def speak_corpus(
    sentences: str | Path,
    corpus: str | Path,
    *,
    prefix: str,
    voice: str = "en-us",
    words_per_minute: int = 160,
) -> None:
    """Speak a list of sentences into a corpus in LJSpeech layout, with exact TextGrids.

    Args:
        sentences: UTF-8, one per line; line 7 becomes the utterance `PREFIX-007`.
        corpus: gets metadata.csv, wavs/ID.wav (16 bits) and alignments/ID.TextGrid.
        prefix: of the ids.
        voice, words_per_minute: see `speak`.

    Raises:
        WavewrightError: no sentences, a `|` in one, or one that espeak-ng cannot speak.
    """
    sentences, corpus = Path(sentences), Path(corpus)
    lines = [(number, " ".join(line.split())) for number, line in read_lines(sentences)]
    if not lines:
        raise WavewrightError(f"{sentences}: no sentence in it")
    for number, line in lines:
        if "|" in line:
            raise WavewrightError(f"{sentences}: line {number} has a '|', which ends a field")
    for folder in ("wavs", "alignments"):
        (corpus / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    with progress("speak", total=len(lines), unit="sentences") as bar:
        for number, line in lines:
            name = check_id(f"{prefix}-{number:03d}")
            spoken = speak(line, voice=voice, words_per_minute=words_per_minute)
            save_wav(corpus / "wavs" / f"{name}.wav", from_pcm16(spoken.wav), spoken.sample_rate)
            write_alignment(corpus / "alignments" / f"{name}.TextGrid", spoken.alignment)
            rows.append(f"{name}|{line}|{line}\n")
            bar.advance()
    (corpus / "metadata.csv").write_text("".join(rows), encoding="utf-8", newline="\n")
