"""ESPnet: feats.scp of a decoding folder, in denorm/ or norm/, or of any Kaldi data folder.

Values are matrices in archives (`ARK:OFFSET`) or .npy files, (frames, n_mels).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import ExternalMel, MelCollection, resolve_path
from wavewright.io.strict_yaml import parse_yaml
from wavewright.mel.spec import MelSpec

_DEPTHS = ("feats.scp", "*/feats.scp", "*/*/feats.scp")
_LOGS = {10.0: "log10", None: "ln"}


def matches(source: Path) -> bool:
    """True for an .scp file, or a folder with a feats.scp in it or up to two levels below."""
    return bool(_tables(source))


def _tables(source: Path) -> list[Path]:
    """List the tables of features: denorm/ is preferred over norm/, single jobs are skipped."""
    if source.is_file():
        return [source] if source.suffix == ".scp" else []
    paths = {table for depth in _DEPTHS for table in source.glob(depth)}
    tables = sorted(t for t in paths if "log" not in t.relative_to(source).parts)
    return [
        table
        for table in tables
        if table.parent.name != "norm"
        or not (table.parent.with_name("denorm") / table.name).is_file()
    ]


def read(source: Path) -> MelCollection:
    """Read the utterances of all sets.

    Raises:
        WavewrightError: only some sets are normalised, or a table has a command for a file.
    """
    tables = _tables(source)
    training = _training(tables[0].parent)
    normalised = {table.parent.name == "norm" for table in tables}
    if len(normalised) > 1:
        raise WavewrightError(f"{source}: some sets are in norm/ only, others in denorm/; give one")
    denormalised = "normalize" in training and training["normalize"] is None
    return MelCollection(
        toolkit="espnet",
        mels=[mel for table in tables for mel in _read_table(table)],
        layout="frames_first",
        convention=_convention(training),
        normalised=normalised == {True} and not denormalised,
    )


def _read_table(table: Path) -> list[ExternalMel]:
    mels = []
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
            mels.append(ExternalMel((name,), resolve_path(file, table.parent), int(offset)))
        else:
            mels.append(ExternalMel((name,), resolve_path(place, table.parent)))
    return mels


def _training(folder: Path) -> dict[str, Any]:
    """Training config.yaml, from a folder above the decoding folder; empty if there is none."""
    for parent in list(folder.absolute().parents)[:3]:
        path = parent / "config.yaml"
        if path.is_file():
            try:
                return parse_yaml(path.read_text("utf-8"), path)[0]
            except (OSError, UnicodeDecodeError, WavewrightError):
                return {}  # then the convention must be named
    return {}


def _convention(training: dict[str, Any]) -> MelSpec | None:
    """Mel spec of `feats_extract: fbank`, with the defaults of ESPnet's LogMelFbank."""
    conf = training.get("feats_extract_conf")
    if training.get("feats_extract") != "fbank" or not isinstance(conf, dict):
        return None
    base = conf.get("log_base", 10.0)
    usual = conf.get("center", True) and conf.get("window", "hann") == "hann"
    if base not in _LOGS or not usual or conf.get("htk") or conf.get("normalized"):
        return None
    fields = {
        "sample_rate": conf.get("fs", 16000),
        "n_fft": conf.get("n_fft", 1024),
        "hop_length": conf.get("n_shift", 256),
        "win_length": conf.get("win_length") or conf.get("n_fft", 1024),
        "n_mels": conf.get("n_mels", 80),
        "fmin": conf.get("fmin", 80) or 0.0,
        "fmax": conf.get("fmax", 7600),
        "log": _LOGS[base],
    }
    try:
        return MelSpec.model_validate({"preset": "espnet", **fields})
    except ValueError:
        return None  # an fs of "22k", say; then the convention must be named
