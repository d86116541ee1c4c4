"""ESPnet: feats.scp of a decoding folder, in denorm/ or norm/, or of any Kaldi data folder.

Values are matrices in archives (`ARK:OFFSET`) or .npy files, (frames, n_mels).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import Collection, Found, nearby
from wavewright.io.strict_yaml import parse_yaml
from wavewright.mel.spec import MelSpec

_DEPTHS = ("feats.scp", "*/feats.scp", "*/*/feats.scp")
_LOGS = {10.0: "log10", None: "ln"}


def matches(source: Path) -> bool:
    """Whether there is an .scp file, or a feats.scp in the folder or up to two below it."""
    return bool(_tables(source))


def _tables(source: Path) -> list[Path]:
    """Tables of features: of denorm/ where there is one beside norm/, none of single jobs."""
    if source.is_file():
        return [source] if source.suffix == ".scp" else []
    found = {table for depth in _DEPTHS for table in source.glob(depth)}
    tables = sorted(t for t in found if "log" not in t.relative_to(source).parts)
    return [
        table
        for table in tables
        if table.parent.name != "norm"
        or not (table.parent.with_name("denorm") / table.name).is_file()
    ]


def read(source: Path) -> Collection:
    """All utterances of all sets in it.

    Raises:
        WavewrightError: sets of which some are normalised, a command where a file should be.
    """
    tables = _tables(source)
    training = _training(tables[0].parent)
    normalised = {table.parent.name == "norm" for table in tables}
    if len(normalised) > 1:
        raise WavewrightError(f"{source}: some sets are in norm/ only, others in denorm/; give one")
    undone = "normalize" in training and training["normalize"] is None
    return Collection(
        toolkit="espnet",
        found=[found for table in tables for found in _entries(table)],
        layout="frames_first",
        convention=_convention(training),
        normalised=normalised == {True} and not undone,
    )


def _entries(table: Path) -> list[Found]:
    found = []
    for number, line in read_lines(table):
        name, place = [*line.split(None, 1), ""][:2]
        place = place.strip()
        if not place or "|" in (place[0], place[-1]):
            raise WavewrightError(
                f"{table}: line {number}: expected ID FILE.ark:OFFSET or ID FILE.npy, found "
                f"{line.strip()[:80]!r}; commands are never run"
            )
        file, colon, offset = place.rpartition(":")
        if colon and offset.isdigit():
            found.append(Found((name,), nearby(file, table.parent), int(offset)))
        else:
            found.append(Found((name,), nearby(place, table.parent)))
    return found


def _training(folder: Path) -> dict[str, Any]:
    """What the config.yaml of the training says, which lies above the decoding folder."""
    for parent in list(folder.absolute().parents)[:3]:
        path = parent / "config.yaml"
        if path.is_file():
            try:
                return parse_yaml(path.read_text("utf-8"), path)[0]
            except (OSError, UnicodeDecodeError, WavewrightError):
                return {}  # then the convention must be named
    return {}


def _convention(training: dict[str, Any]) -> MelSpec | None:
    """Of `feats_extract: fbank`, whose defaults are those of ESPnet's LogMelFbank."""
    given = training.get("feats_extract_conf")
    if training.get("feats_extract") != "fbank" or not isinstance(given, dict):
        return None
    base = given.get("log_base", 10.0)
    usual = given.get("center", True) and given.get("window", "hann") == "hann"
    if base not in _LOGS or not usual or given.get("htk") or given.get("normalized"):
        return None
    fields = {
        "sample_rate": given.get("fs", 16000),
        "n_fft": given.get("n_fft", 1024),
        "hop_length": given.get("n_shift", 256),
        "win_length": given.get("win_length") or given.get("n_fft", 1024),
        "n_mels": given.get("n_mels", 80),
        "fmin": given.get("fmin", 80) or 0.0,
        "fmax": given.get("fmax", 7600),
        "log": _LOGS[base],
    }
    try:
        return MelSpec.model_validate({"preset": "espnet", **fields})
    except ValueError:
        return None  # an fs of "22k", say; then the convention must be named
