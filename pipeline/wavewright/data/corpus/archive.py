"""Unpack a corpus from an untrusted tar (plain, gzip, bzip2, xz) or zip file.

Plain files and folders come out, with ordinary permissions and nothing else. An archive that could
reach beyond the target folder or fill the disk, or that is cut short, is refused as a whole: the
target folder appears by one rename, after the last byte.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from wavewright.errors import WavewrightError, format_os_error
from wavewright.io.progress import progress

_BLOCK = 2**18
_MEGABYTE = 10**6
_TAR_END = 1024  # bytes of zeros that end every whole tar
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"BZh": lambda file: bz2.BZ2File(file),
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\0": lambda file: lzma.LZMAFile(file),  # noqa: SIM115 (its caller closes it)
}


class _Member(NamedTuple):
    """Archive member: `content` is None for a folder, `read` the archive's bytes read so far."""

    name: str
    content: Any | None
    read: int


def extract(
    archive: str | Path, folder: str | Path, *, limit: int | None = None, members: int = 10_000_000
) -> Path:
    """Unpack `archive` into the new folder `folder`; the first bytes tell its kind.

    Args:
        archive: the file.
        folder: must not exist yet.
        limit: bytes that may come out; None means 20 times the archive's size, at least 1 GiB.
        members: files and folders that may come out.

    Raises:
        WavewrightError: not an archive; cut short or damaged; a member with an absolute path, `..`,
            a link, a device, an impossible name, or a name that another member has too when letter
            case is ignored; more than `limit` or `members`; no room on the disk.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise WavewrightError(f"{archive}: no such archive")
    if limit is None:
        limit = max(2**30, 20 * archive.stat().st_size)
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _unpack(archive, scratch, limit, members)
        os.replace(scratch, folder)
    except OSError as error:
        if error.errno is None:  # raised by bz2 and gzip for invalid data
            raise WavewrightError(f"{archive}: cut short or damaged ({error})") from error
        raise WavewrightError(format_os_error(error, scratch)) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise WavewrightError(f"{archive}: cut short or damaged ({error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _unpack(archive: Path, folder: Path, limit: int, members: int) -> None:
    names = _Names(archive)
    total = archive.stat().st_size // _MEGABYTE
    remaining, megabytes = limit, 0
    with progress(f"unpack {archive.name}", total=max(1, total), unit="MB") as bar:
        for number, member in enumerate(_members(archive, limit)):
            if number >= members:
                raise _refused(archive, f"it has more than {members} members")
            path = folder / names.add(member.name, is_folder=member.content is None)
            if member.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            remaining -= _write(member.content, path, remaining)
            if remaining < 0:
                raise _refused(archive, f"more than {limit} bytes would come out of it")
            bar.advance(member.read // _MEGABYTE - megabytes)
            megabytes = member.read // _MEGABYTE


def _write(content: Any, path: Path, limit: int) -> int:
    """Copy at most one block more than `limit` bytes; returns how many."""
    size = 0
    with content, path.open("xb") as file:
        while size <= limit and (block := content.read(_BLOCK)):
            file.write(block)
            size += len(block)
    return size


class _Names:
    """Names of members so far: each stays inside the folder and is unique on any file system."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.seen: dict[str, tuple[str, bool]] = {}

    def add(self, name: str, *, is_folder: bool) -> PurePosixPath:
        """Check a member's name and return its path below the target folder."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or re.match("[A-Za-z]:", name):
            raise _refused(self.archive, f"the member {name[:99]!r} points outside")
        if re.search(r"[\0-\x1f]", name) or any(len(os.fsencode(p)) > 255 for p in path.parts):
            raise _refused(self.archive, f"the member {name[:99]!r} has an impossible name")
        for folder in [*path.parents][-2::-1]:  # every folder above it, from the outermost
            self._register(str(folder), is_folder=True)
        self._register(str(path), is_folder=is_folder)
        return path

    def _register(self, name: str, *, is_folder: bool) -> None:
        key = unicodedata.normalize("NFC", name).casefold()
        if key not in self.seen:
            self.seen[key] = (name, is_folder)
        elif not is_folder or self.seen[key] != (name, True):
            other = self.seen[key][0]
            reason = f"the members {other!r} and {name!r} would be one file on many disks"
            raise _refused(self.archive, reason)


def _members(archive: Path, limit: int) -> Iterator[_Member]:
    with archive.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return _zip_members(archive)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return _tar_members(archive, opener, limit)
    if start[257:262] == b"ustar":
        return _tar_members(archive, lambda file: file, limit)
    raise WavewrightError(
        f"{archive}: neither a tar (plain, gzip, bzip2, xz) nor a zip archive; "
        f"it starts with {start[:24]!r}"
    )


class _Tail:
    """A stream that remembers its last bytes. tarfile does not notice a missing end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.last = (self.last + data)[-_TAR_END:]
        return data


def _tar_members(
    archive: Path, opener: Callable[[IO[bytes]], Any], limit: int
) -> Iterator[_Member]:
    with archive.open("rb") as file, opener(file) as stream:
        tail = _Tail(stream)
        with tarfile.open(fileobj=tail, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                if member.isdir():
                    yield _Member(member.name, None, file.tell())
                elif member.isreg():
                    yield _Member(member.name, tar.extractfile(member), file.tell())
                else:
                    what = "link" if member.issym() or member.islnk() else "device or pipe"
                    raise _refused(archive, f"the member {member.name[:99]!r} is a {what}")
        remaining = limit
        while remaining > 0 and (block := tail.read(_BLOCK)):
            remaining -= len(block)
        if tail.last != bytes(_TAR_END):
            raise WavewrightError(f"{archive}: cut short (no end-of-archive mark)")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file, zipfile.ZipFile(file) as packed:
        for member in packed.infolist():
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"the member {member.filename[:99]!r} is no plain file")
            if member.flag_bits & 1:
                raise _refused(archive, f"the member {member.filename[:99]!r} is encrypted")
            content = None if member.is_dir() else packed.open(member)
            yield _Member(member.filename, content, file.tell())


def _refused(archive: Path, reason: str) -> WavewrightError:
    return WavewrightError(f"{archive}: refused, {reason}")
