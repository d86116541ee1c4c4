"""Cache of metric values, so that a second report computes only what is new.

A key is a digest of both waveforms' samples, their rate, the metric's recipe, the code behind it
and the versions of its packages. One SQLite file, which several processes may use at once; where
it cannot be used (a read-only home, another program's lock), everything is simply computed.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import numpy as np

from wavewright.io.files import cache_folder
from wavewright.io.fingerprint import code_fingerprint, json_digest
from wavewright.metrics.metric import Metric, MetricScore, WavPair

_TABLE = (
    "CREATE TABLE IF NOT EXISTS scores "
    "(key TEXT PRIMARY KEY, value REAL, reason TEXT NOT NULL, weight REAL NOT NULL) WITHOUT ROWID"
)
_PATIENCE = 20.0  # seconds to wait for another process that writes
_AT_ONCE = 500  # keys in one question
log = logging.getLogger("wavewright")


class MetricCache:
    """Cache of scores on disk; picklable, since it holds only its path.

    Args:
        path: the database; None for the user's own.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "metrics.sqlite"

    def get(self, keys: Sequence[str]) -> dict[str, MetricScore]:
        """Look up scores; keys that are not cached are left out."""
        scores: dict[str, MetricScore] = {}
        with self._open() as base:
            for start in range(0, len(keys) if base else 0, _AT_ONCE):
                batch = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(batch))
                rows = base.execute(  # type: ignore[union-attr]
                    f"SELECT key, value, reason, weight FROM scores WHERE key IN ({marks})", batch
                )
                for key, value, reason, weight in rows:
                    scores[key] = MetricScore(np.nan if value is None else value, reason, weight)
        return scores

    def put(self, scores: Mapping[str, MetricScore]) -> None:
        """Store scores by key."""
        rows = [
            (key, None if np.isnan(score) else float(score), score.reason, score.weight)
            for key, score in scores.items()
        ]
        with self._open() as base:
            if base is not None and rows:
                base.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """Open the database, and commit at the end; None where it cannot be used."""
        base = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            base = sqlite3.connect(self.path, timeout=_PATIENCE)
            base.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            log.warning("%s: cannot be used, so metrics are not cached (%s)", self.path, error)
            if base is not None:
                base.close()
            yield None
            return
        try:
            with base:
                yield base
        except sqlite3.Error as error:
            log.warning("%s: cannot be used, so metrics are not cached (%s)", self.path, error)
        finally:
            base.close()


def score_key(metric: Metric, pair: WavPair) -> str:
    """Digest of everything that a score depends on."""
    parts = [_code_digest(type(metric)), metric.id, pair.sample_rate]
    parts += [_samples(pair.reference), _samples(pair.candidate)]
    if type(metric).score is not Metric.score:  # it uses more than the two waveforms
        parts += [pair.text]
    if metric.phones is not None:
        parts += [[phone.start, phone.end, phone.label] for phone in pair.phones]
    return json_digest(parts)


def _samples(wav: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(wav).data).hexdigest()


@cache
def _code_digest(kind: type[Metric]) -> str:
    """Digest of the code that a metric runs and of the packages that it needs."""
    modules, libraries = code_fingerprint([kind.__module__])
    return json_digest(
        [kind.__qualname__, modules, libraries, distribution_versions(kind.packages)]
    )


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Distributions by the import names that they provide; takes half a second."""
    return packages_distributions()


def distribution_versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of the distributions that provide import names, by name."""
    owners = _distributions() if packages else {}
    versions = {}
    for name in packages:
        try:
            versions[name] = version(owners.get(name, [name])[0])
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions
