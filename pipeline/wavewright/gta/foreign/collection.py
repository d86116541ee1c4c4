"""What a toolkit's reader says of the mels that it found."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.mel.file_formats import Array
from wavewright.mel.files import Layout, read_array, read_kaldi
from wavewright.mel.spec import MelSpec


@dataclass(frozen=True, slots=True)
class Found:
    """One mel.

    Attributes:
        parts: of its full relative id: the folders, and the name without suffix.
        path: of the file, or of the Kaldi archive.
        offset: byte in the archive; None for a file of its own.
    """

    parts: tuple[str, ...]
    path: Path
    offset: int | None = None

    @property
    def id(self) -> str:
        """The full relative id, spelt as the reader of audio folders spells ids."""
        return spelt(self.parts)

    @property
    def where(self) -> str:
        """The file, and the place in it, for messages."""
        return str(self.path) if self.offset is None else f"{self.path}:{self.offset}"

    def read(self) -> Array:
        """The array as it is in the file; raises WavewrightError as `read_array` does."""
        if self.offset is None:
            return read_array(self.path)
        return read_kaldi(self.path, self.offset)


@dataclass(frozen=True)
class Collection:
    """All mels of a folder or manifest.

    Attributes:
        toolkit: whose reader read it.
        found: the mels.
        layout: how the toolkit orders the axes; None if it has no habit.
        convention: the mels' own, where the toolkit wrote it down.
        normalised: statistics must be undone, and are not there.
        padded: the last frame may be padding.
    """

    toolkit: str
    found: list[Found]
    layout: Layout | None
    convention: MelSpec | None = None
    normalised: bool = False
    padded: bool = False


def spelt(parts: Iterable[str]) -> str:
    """An id out of folders and a name."""
    return re.sub(r"\s+", "_", "-".join(parts))


def parts_of(path: Path) -> tuple[str, ...]:
    """Folders and name of a path, without root and suffix."""
    parts = (*path.parent.parts, path.stem)
    return tuple(part for part in parts if part not in (path.anchor, "", ".", ".."))


def nearby(text: str, folder: Path) -> Path:
    """The file that a manifest names, relative to its own folder or to one above it.

    Toolkits write paths as seen from where they were started, which mostly is a folder above.
    """
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    home = folder.absolute()
    seen = (base / path for base in (home, *home.parents))
    return next((file for file in seen if os.path.isfile(file)), folder / path)


def require_own_files(pairs: Iterable[tuple[str, Path]], manifest: Path) -> None:
    """Refuse a manifest in which two recordings name one mel: one was written over the other.

    Args:
        pairs: what stands for the recording, and its mel.
        manifest: for the message.
    """
    owners: dict[Path, str] = {}
    for recording, mel in pairs:
        other = owners.setdefault(mel, recording)
        if other != recording:
            raise WavewrightError(
                f"{manifest}: '{other}' and '{recording}' both name the mel {mel}, which can be "
                "of one of them only; make the mels again, under names that differ"
            )
