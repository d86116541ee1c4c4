"""Bring a speech corpus into a layout that `read_corpus` reads: from files, or synthesized.

Folders may have LJSpeech's layout already, or hold (there or in `data/`) pairs of `ID.wav` and
`ID.txt`; all other layouts are those of `readers`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from wavewright.audio.files import from_pcm16, save_wav
from wavewright.data.corpus.readers import table
from wavewright.data.corpus.readers.detect import LAYOUTS, detect_layout, read_layout
from wavewright.data.corpus.utterances import (
    AUDIO_SUFFIXES,
    CorpusUtterance,
    files_by_id,
    read_lines,
    write_corpus_table,
)
from wavewright.data.manifest import check_id, id_slug
from wavewright.errors import WavewrightError
from wavewright.io.progress import progress
from wavewright.text.espeak import synthesize
from wavewright.text.textgrid import write_alignment

_LARGEST_COPY = 10**9  # bytes of audio
_AUDIO_FOLDERS = ("wavs", "wav", "recordings", "audio", "clips")  # beside a metadata.csv
_NAMING = ("kaldi", "nemo", "table")  # layouts that name each file, wherever it is
_ABOUT = re.compile(r"readme|licen[cs]e|copying", re.IGNORECASE)  # files that describe a corpus
log = logging.getLogger("wavewright")


def publish_corpus(
    source: str | Path,
    corpus: str | Path,
    *,
    layout: str | None = None,
    follow_links: bool = False,
    link: bool | None = None,
) -> None:
    """Copy a corpus of any known layout into the folder `corpus`, in one of two layouts.

    Text is copied. Audio is copied up to 1 GB in all, so that nothing that happens to the source
    can change what was published; beyond that it is hard-linked where the filesystem can.

    Args:
        source: the corpus, a folder with nothing but the corpus's folder in it, or a table or
            manifest file.
        corpus: filled; files that an interrupted call left are replaced.
        layout: `ljspeech` or one of `readers.detect.LAYOUTS`; None detects it.
        follow_links: whether symbolic links may lead out of the source.
        link: whether audio is hard-linked, where the filesystem can; None decides by its size.

    Raises:
        WavewrightError: no known layout or several, or symbolic links out of the source.
    """
    source, corpus = _root(Path(source), layout), Path(corpus)
    audio, lines = _pairs(source)
    if layout not in (None, "ljspeech") or not (_is_ljspeech(source) or lines):
        name = layout or detect_layout(source)
        if name is None or name == "ljspeech":
            raise WavewrightError(_nothing_known(source))
        _publish_utterances(source, name, corpus, follow_links, link)
        return
    if _is_ljspeech(source):
        folders = [source / name for name in _AUDIO_FOLDERS if (source / name).is_dir()]
        audio = [*_files(folders[0], AUDIO_SUFFIXES)] if folders else []
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


def _root(source: Path, layout: str | None) -> Path:
    """The folder that holds the corpus: this one, or the only folder in it."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise WavewrightError(f"{source}: no such folder")
    if _is_ljspeech(source) or _pairs(source)[0]:
        return source
    name = layout if layout in LAYOUTS else detect_layout(source)
    if name not in (None, "folder", "libritts"):
        return source  # the last two match at any depth
    folders = [path for path in source.iterdir() if path.is_dir() and path.name[0] != "."]
    alone = len(folders) == 1 and not any(
        p.is_file() and p.suffix.lower() in AUDIO_SUFFIXES for p in source.iterdir()
    )
    if alone and folders[0].name not in ("wavs", "data"):
        return _root(folders[0], layout)
    if name is None:
        raise WavewrightError(_nothing_known(source))
    return source


def _is_ljspeech(source: Path) -> bool:
    metadata = source / "metadata.csv"
    return source.is_dir() and metadata.is_file() and not table.matches(metadata)


def _nothing_known(source: Path) -> str:
    layouts = ", ".join(layout.about for layout in LAYOUTS.values())
    return (
        f"{source}: neither metadata.csv with wavs/ID.wav (LJSpeech layout), nor pairs of ID.wav "
        f"and ID.txt (there or in data/), nor any of: {layouts}"
    )


def _publish_utterances(
    source: Path, layout: str, corpus: Path, follow_links: bool, link: bool | None
) -> None:
    """Write audio to wavs/NAME, TextGrids to alignments/ID.TextGrid, all else to corpus.parquet."""
    utterances = read_layout(source, layout)
    usable = [utterance for utterance in utterances if not utterance.reason]
    if not usable:
        raise WavewrightError(
            f"{source}: none of its {len(utterances)} utterances can be used; the first: "
            f"{utterances[0].id}: {utterances[0].reason}"
        )
    names = _file_names(usable)
    if link is None:
        link = sum(path.stat().st_size for path in names) > _LARGEST_COPY
    root = None if follow_links or layout in _NAMING else source.resolve()
    for folder in ("wavs", "alignments"):
        shutil.rmtree(corpus / folder, ignore_errors=True)
    (corpus / "wavs").mkdir(parents=True)
    with progress("gather", total=len(names), unit="files") as bar:
        for path, name in names.items():
            _place(_within(path, root), corpus / "wavs" / name, link=link)
            bar.advance()
    write_corpus_table(corpus, [_published(utterance, names, corpus) for utterance in utterances])
    if source.is_dir():
        about = [path for path in sorted(source.iterdir()) if _ABOUT.search(path.name)]
        _put(source, about, corpus, follow_links, link=False)


def _file_names(utterances: Iterable[CorpusUtterance]) -> dict[Path, str]:
    """File name in wavs/ by audio file: its utterance's id, or its own if it has several."""
    users: dict[Path, list[str]] = {}
    for utterance in utterances:
        users.setdefault(utterance.audio, []).append(utterance.id)
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path, ids in users.items():
        stem = ids[0] if len(ids) == 1 else id_slug(path.stem)[:100]
        name, count = f"{stem}{path.suffix.lower()}", 1
        while name.casefold() in used:
            count += 1
            name = f"{stem}.{count}{path.suffix.lower()}"
        used.add(name.casefold())
        names[path] = name
    return names


def _within(path: Path, root: Path | None) -> Path:
    origin = Path(os.path.realpath(path))
    if root is not None and not origin.is_relative_to(root):
        raise WavewrightError(_link_out(path, origin))
    return origin


def _link_out(path: Path, origin: Path) -> str:
    return (
        f"{path}: a symbolic link out of the corpus, to {origin}. If that is meant, allow it with "
        "--set download.follow_links=true"
    )


def _published(
    utterance: CorpusUtterance, names: Mapping[Path, str], corpus: Path
) -> CorpusUtterance:
    alignment = None
    if utterance.alignment is not None and utterance.alignment.is_file() and not utterance.reason:
        alignment = corpus / "alignments" / f"{utterance.id}.TextGrid"
        alignment.parent.mkdir(exist_ok=True)
        _place(utterance.alignment, alignment, link=False)
    name = names.get(utterance.audio)
    audio = corpus / "wavs" / name if name and not utterance.reason else Path()
    return replace(utterance, audio=audio, alignment=alignment)


def _pairs(source: Path) -> tuple[list[Path], list[str]]:
    """Find audio files with a text file beside them; returns them and lines of metadata.csv."""
    folder = source / "data" if (source / "data").is_dir() else source
    audio = {path.stem: path for path in _files(folder, AUDIO_SUFFIXES)}
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
    """Copy or link regular files; warn about anything else."""
    root = source.resolve()
    for path in files:
        origin = Path(os.path.realpath(path))
        if not origin.is_relative_to(root) and not follow_links:
            raise WavewrightError(_link_out(path, origin))
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


def synthesize_corpus(
    sentences: str | Path,
    corpus: str | Path,
    *,
    prefix: str,
    voice: str = "en-us",
    words_per_minute: int = 160,
) -> None:
    """Synthesize sentences with espeak-ng into a corpus in LJSpeech layout, with exact TextGrids.

    Args:
        sentences: UTF-8, one per line; line 7 becomes the utterance `PREFIX-007`.
        corpus: gets metadata.csv, wavs/ID.wav (16 bits) and alignments/ID.TextGrid.
        prefix: prefix of the ids.
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
            speech = synthesize(line, voice=voice, words_per_minute=words_per_minute)
            save_wav(corpus / "wavs" / f"{name}.wav", from_pcm16(speech.wav), speech.sample_rate)
            write_alignment(corpus / "alignments" / f"{name}.TextGrid", speech.alignment)
            rows.append(f"{name}|{line}|{line}\n")
            bar.advance()
    (corpus / "metadata.csv").write_text("".join(rows), encoding="utf-8", newline="\n")
