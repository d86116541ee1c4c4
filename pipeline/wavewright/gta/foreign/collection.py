"""External mels as the toolkits' readers list them: ExternalMel and MelCollection."""

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
class ExternalMel:
    """Location of one mel that another toolkit made.

    Attributes:
        parts: parts of its full relative id: the folders, and the name without suffix.
        path: path of the file, or of the Kaldi archive.
        offset: byte offset in the archive; None for a single file.
    """

    parts: tuple[str, ...]
    path: Path
    offset: int | None = None

    @property
    def id(self) -> str:
        """Full relative id, spelled as the reader of audio folders spells ids."""
        return join_id(self.parts)

    @property
    def location(self) -> str:
        """File, and offset in it, for messages."""
        return str(self.path) if self.offset is None else f"{self.path}:{self.offset}"

    def read(self) -> Array:
        """Read the array as stored; raises WavewrightError like `read_array`."""
        if self.offset is None:
            return read_array(self.path)
        return read_kaldi(self.path, self.offset)


@dataclass(frozen=True)
class MelCollection:
    """All mels of a folder or manifest.

    Attributes:
        toolkit: name of the toolkit.
        mels: all mels.
        layout: order of the axes in this toolkit; None if it has none of its own.
        convention: spec of the mels, where the toolkit stored it.
        normalised: normalised by statistics that are not in the collection.
        padded: the last frame may be padding.
    """

    toolkit: str
    mels: list[ExternalMel]
    layout: Layout | None
    convention: MelSpec | None = None
    normalised: bool = False
    padded: bool = False


def join_id(parts: Iterable[str]) -> str:
    """Join folders and a name into an id."""
    return re.sub(r"\s+", "_", "-".join(parts))


def id_parts(path: Path) -> tuple[str, ...]:
    """Split a path into the parts of an id: folders and name, without root and suffix."""
    parts = (*path.parent.parts, path.stem)
    return tuple(part for part in parts if part not in (path.anchor, "", ".", ".."))


def resolve_path(text: str, folder: Path) -> Path:
    """Resolve a path in a manifest, relative to the manifest's folder or one above it.

    Toolkits write paths relative to their working directory, which usually is a folder above.
    """
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    home = folder.absolute()
    candidates = (base / path for base in (home, *home.parents))
    return next((file for file in candidates if os.path.isfile(file)), folder / path)


def require_distinct_mels(pairs: Iterable[tuple[str, Path]], manifest: Path) -> None:
    """Raise if two recordings of a manifest name the same mel file: one overwrote the other.

    Args:
        pairs: name of the recording, and path of its mel.
        manifest: path of the manifest, for the message.
    """
    owners: dict[Path, str] = {}
    for recording, mel in pairs:
        other = owners.setdefault(mel, recording)
        if other != recording:
            raise WavewrightError(
                f"{manifest}: '{other}' and '{recording}' both name the mel {mel}, which can be "
                "of one of them only; make the mels again, under names that differ"
            )
