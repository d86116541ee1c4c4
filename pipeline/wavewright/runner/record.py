"""Record of a published result, `stage.json`: provenance and integrity."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from wavewright.io.files import sha256_of, walk_files, write_text
from wavewright.io.fingerprint import json_digest

RECORD_NAME = "stage.json"
LOG_FOLDER = "logs"
UNREADABLE = f"{RECORD_NAME} cannot be read"


class FileRecord(BaseModel):
    """One published file. Times and inode make the quick check; sha256 the thorough one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str
    mtime_ns: int
    ctime_ns: int
    inode: int


class StageRecord(BaseModel):
    """Provenance of a published result. `parts` is everything that its key was made of; `stale`
    names units whose outdated results were used because of --allow-stale; `serial` numbers the
    results of a unit, independent of the clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    stage: str
    unit: str
    key: str
    parts: dict[str, Any]
    outputs: dict[str, FileRecord]
    digest: str
    budget: int | None
    stale: list[str] = []
    options: dict[str, Any]
    seconds: float
    serial: int = 0
    finished: str
    environment: dict[str, Any]


def read_record(folder: Path) -> StageRecord | None:
    """Read the record of a published folder; None if there is none or it is damaged."""
    try:
        return StageRecord.model_validate_json((folder / RECORD_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(folder: Path, record: StageRecord) -> None:
    """Write `stage.json` atomically."""
    write_text(folder / RECORD_NAME, record.model_dump_json(indent=1), durable=True)


def scan_outputs(folder: Path) -> dict[str, FileRecord]:
    """Record every file of a result with its sha256, except logs and the record."""
    return {
        name: FileRecord(sha256=sha256_of(folder / name), **facts)
        for name, facts in _files(folder).items()
    }


_PAGES = ("report.html",)  # for people; another wording of it makes no later stage stale


def outputs_digest(outputs: dict[str, FileRecord]) -> str:
    """Digest of names, sizes and contents: what later stages depend on."""
    files = {name: file for name, file in sorted(outputs.items()) if name not in _PAGES}
    return json_digest({name: [file.size, file.sha256] for name, file in files.items()})


def first_damage(folder: Path, record: StageRecord, *, thorough: bool = False) -> str | None:
    """Description of the first damage to a published result, or None.

    A file whose size, times and inode are as recorded is taken as unchanged unless `thorough`;
    any other is hashed. ctime closes the hole of an edit that keeps size and mtime.
    """
    return next((f"{name} {what}" for name, what in find_damage(folder, record, thorough)), None)


def find_damage(folder: Path, record: StageRecord, thorough: bool) -> Iterator[tuple[str, str]]:
    """Yield every damaged file with `is missing`, `was added` or `was changed`.

    See `trouble`.
    """
    present = _files(folder)
    for name in sorted(record.outputs.keys() - present.keys()):
        yield name, "is missing"
    for name in sorted(present.keys() - record.outputs.keys()):
        yield name, "was added"
    for name in sorted(present.keys() & record.outputs.keys()):
        file, facts = record.outputs[name], present[name]
        unchanged = all(getattr(file, fact) == value for fact, value in facts.items())
        if (thorough or not unchanged) and sha256_of(folder / name) != file.sha256:
            yield name, "was changed"


def environment() -> dict[str, Any]:
    """Versions, machine and command, for the record."""
    return {
        "argv": sys.argv,
        "git": _git(),
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "packages": _packages(),
        "python": platform.python_version(),
    }


def _packages() -> dict[str, str]:
    """Versions of the installed packages by name, in order of the names."""
    texts = (d.read_text("METADATA") or d.read_text("PKG-INFO") or "" for d in distributions())
    return dict(sorted(map(_name_and_version, texts), key=lambda package: package[0]))


@cache
def _name_and_version(metadata: str) -> tuple[str, str]:
    """Name and version from a package's metadata; its description, the longest part, is not parsed.

    A run publishes many results, and each record lists all packages.
    """
    headers = HeaderParser().parsestr(metadata)
    return str(headers["Name"]), str(headers["Version"])


def _files(folder: Path) -> dict[str, dict[str, int]]:
    """Size, times and inode of every file but logs and the record."""
    return {
        name: {
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "ctime_ns": stat.st_ctime_ns,
            "inode": stat.st_ino,
        }
        for name, stat in walk_files(folder)
        if name != RECORD_NAME and not name.startswith(f"{LOG_FOLDER}/")
    }


def _git() -> str:
    """Commit of the checkout that this code runs from, `-dirty` if changed; empty without one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()
