"""Download one large file over HTTP: resumable, verified and atomic.

The bytes go to `NAME.part`; beside it `NAME.part.json` remembers which version of which file they
belong to (URL and ETag or Last-Modified). A later call asks the server for the rest of exactly that
version (`Range` with `If-Range`) and starts over when it is gone. `NAME` appears by one rename,
after size and SHA-256 were found right.
"""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError, os_error_reason
from wavewright.io.files import sha256_of
from wavewright.io.progress import progress

_BLOCK = 2**18
_MEGABYTE = 10**6
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class _PartNotes:
    """Origin of a `.part` file; `validator` is a strong ETag or a Last-Modified date."""

    url: str
    validator: str


class _Retry(Exception):
    """The transfer broke off or the server had a passing problem: try again."""


def fetch(
    url: str,
    target: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download `url` to `target`, continuing what an earlier call left in `target`.part.

    A `target` that is there already is checked and kept.

    Args:
        url: http or https.
        target: the file to make.
        sha256: 64 hexadecimal digits that the file must have; without it only the length
            that the server announces can be checked, with a warning.
        size: bytes that the file must have.
        timeout: seconds without a single byte after which a connection counts as stalled.
        attempts: tries in a row that may fail without bringing a byte before the call gives up.
        pause: seconds before the second try; they double from try to try.

    Raises:
        WavewrightError: not an http(s) URL, the server refuses or keeps failing, no room on the
            disk, wrong size or checksum (the bad file is deleted).
    """
    target = Path(target)
    if not re.match(r"https?://", url):
        raise WavewrightError(f"{url}: only http:// and https:// addresses can be downloaded")
    if target.is_file():
        if _is_right(target, sha256, size):
            return target
        log.warning("%s has the wrong size or sha256; downloading it again", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if size is not None:
        _require_room(target, size - (part.stat().st_size if part.exists() else 0))
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _transfer(url, part, resumable=sha256 is not None, size=size, timeout=timeout)
            break
        except _Retry as error:
            after = part.stat().st_size if part.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= attempts:
                raise WavewrightError(
                    f"{url}: {error}; gave up after {attempts} tries. The data so far is in "
                    f"{part}: run the same command again to continue."
                ) from error
            log.warning("%s: %s; trying again (%d bytes so far)", url, error, after)
            time.sleep(pause * 2 ** (failures - 1))
    _require_right(part, url, sha256, size)
    os.replace(part, target)
    _notes(part).unlink(missing_ok=True)
    return target


def fetch_from_any(
    urls: Sequence[str], target: str | Path, *, sha256: str | None = None, **options: Any
) -> Path:
    """Download a file from the first of several addresses that serves it in full.

    A transfer that one server broke off is continued from the next; the checksum, which several
    addresses require, verifies the result.

    Args:
        urls: addresses, in the order of preference.
        target: the file to make.
        sha256: of the file.
        options: options of `fetch`.

    Raises:
        WavewrightError: no server has it; with the last one's error.
    """
    if len(urls) > 1 and sha256 is None:
        raise WavewrightError(f"{urls[1]}: a mirror needs a sha256 to verify its file")
    part = Path(target).with_name(f"{Path(target).name}.part")
    for url, following in pairwise(urls):
        try:
            return fetch(url, target, sha256=sha256, **options)
        except WavewrightError as error:
            log.warning("%s; trying the next address", error)
        if part.exists():  # another server's ETag would be another
            _write_notes(part, _PartNotes(following, ""))
    return fetch(urls[-1], target, sha256=sha256, **options)


def _transfer(url: str, part: Path, *, resumable: bool, size: int | None, timeout: float) -> None:
    """Append to `part` until the file is complete; raises _Retry when the transfer breaks off."""
    have = _resumable_bytes(part, url, resumable)
    if size is not None and have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "wavewright"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        validator = _read_notes(part).validator
        if validator:
            request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            start, total = _range_of(response, have)
            if start and _read_notes(part).validator not in ("", _validator(response)):
                part.unlink()
                raise _Retry("the server has another version of the file by now")
            if have and start == 0:
                log.warning("%s: the server sends the file from its start again", url)
            if size is not None and total is not None and total != size:
                part.unlink(missing_ok=True)
                raise WavewrightError(
                    f"{url}: the server offers {total} bytes, the recipe expects {size}"
                )
            _write_notes(part, _PartNotes(url, _validator(response)))
            _receive(response, part, start, total if total is not None else size)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing there to continue: the file is shorter than what we have
            part.unlink(missing_ok=True)
            raise _Retry("the server has another file by now") from error
        if error.code in _PASSING:
            raise _Retry(f"the server answers {error.code} {error.reason}") from error
        raise WavewrightError(f"{url}: the server answers {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise _Retry(f"no data for {timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and (error.filename or error.errno in _OF_THE_DISK):
            raise WavewrightError(f"{part}: not writable ({os_error_reason(error)})") from error
        raise _Retry(f"the connection failed ({error})") from error


def _range_of(response: Any, have: int) -> tuple[int, int | None]:
    """Offset of the response body in the file, and the file's length or None."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, int(length) if length is not None else None
    content_range = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "")
    )
    if not content_range or int(content_range[1]) != have:
        raise _Retry(f"the server sends {response.headers.get('Content-Range')!r}, not the rest")
    return have, None if content_range[3] == "*" else int(content_range[3])


def _receive(response: Any, part: Path, start: int, total: int | None) -> None:
    with (
        part.open("r+b" if start else "wb") as file,
        progress(
            f"download {part.stem}",
            total=max(1, (total or 0) // _MEGABYTE),
            done=start // _MEGABYTE,
            unit="MB",
        ) as bar,
    ):
        file.seek(start)
        file.truncate()
        done = start
        while block := response.read(_BLOCK):
            _write(file, block, part)
            bar.advance((done + len(block)) // _MEGABYTE - done // _MEGABYTE)
            done += len(block)
            if total is not None and done > total:
                raise _Retry(f"the server sent more than the {total} bytes it announced")
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Retry(f"the transfer broke off after {done} of {total} bytes")


def _write(file: Any, block: bytes, part: Path) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise WavewrightError(f"{part}: could not be written ({os_error_reason(error)})") from error


def _resumable_bytes(part: Path, url: str, resumable: bool) -> int:
    """Bytes of `part` that may be continued; without a validator only a checksum makes it safe."""
    if not part.exists():
        return 0
    notes = _read_notes(part)
    return part.stat().st_size if notes.url == url and (notes.validator or resumable) else 0


def _validator(response: Any) -> str:
    etag = str(response.headers.get("ETag") or "")
    if etag.startswith('"'):  # a weak one (W/"...") may not be used with If-Range
        return etag
    return str(response.headers.get("Last-Modified") or "")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_notes(part: Path) -> _PartNotes:
    try:
        return _PartNotes(**json.loads(_notes(part).read_text()))
    except (OSError, ValueError, TypeError):
        return _PartNotes("", "")


def _write_notes(part: Path, notes: _PartNotes) -> None:
    scratch = _notes(part).with_suffix(".new")
    scratch.write_text(json.dumps(asdict(notes)))
    os.replace(scratch, _notes(part))


def _require_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise WavewrightError(
            f"{target}: needs {needed / 1e9:.1f} GB more, the disk has {free / 1e9:.1f} GB free"
        )


def _is_right(path: Path, sha256: str | None, size: int | None) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    return sha256 is None or sha256_of(path) == sha256.lower()


def _require_right(part: Path, url: str, sha256: str | None, size: int | None) -> None:
    received, digest = part.stat().st_size, sha256_of(part)
    if sha256 is None:
        log.warning("%s: no checksum is known for it; the sha256 of what came is %s", url, digest)
    if (sha256 is None or digest == sha256.lower()) and size in (None, received):
        return
    part.unlink()
    _notes(part).unlink(missing_ok=True)
    expected = f"{'any' if size is None else size} bytes with sha256 {sha256 or 'unknown'}"
    raise WavewrightError(
        f"{url}: what came is {received} bytes with sha256 {digest}, expected {expected}. "
        "It was deleted: the file at this address is not the one the recipe was written for."
    )
