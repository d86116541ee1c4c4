"""Diagnosis of the doctor: findings as data, and as lines of text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Finding:
    """One finding with its confidence and evidence."""

    what: str
    found: str
    confidence: Confidence = "high"
    evidence: str = ""


@dataclass
class Diagnosis:
    """All findings, the verdict, and remedies."""

    verdict: str
    """One sentence."""
    names: list[str] = field(default_factory=list)
    """Presets that explain the mel; several where they are equal or indistinguishable."""
    confidence: Confidence = "high"
    findings: list[Finding] = field(default_factory=list)
    differences: dict[str, list[str]] = field(default_factory=dict)
    """Differences from the first of `names`: field -> [measured, the preset's]; empty for none."""
    decide: str = ""
    """Information that would decide between the candidates; empty when nothing is open."""
    mend: list[str] = field(default_factory=list)
    """Remedies: commands or instructions."""
    fits: bool | None = None
    """True if it fits what it was compared with; None if nothing was compared."""

    def add(
        self, what: str, found: str, confidence: Confidence = "high", evidence: str = ""
    ) -> None:
        """Add a finding."""
        self.findings.append(Finding(what, found, confidence, evidence))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Lines of text for the terminal."""
        lines = [self.verdict]
        width = max((len(finding.what) for finding in self.findings), default=0)
        for finding in self.findings:
            note = [] if finding.confidence == "high" else [f"{finding.confidence} confidence"]
            note += [finding.evidence] if finding.evidence else []
            tail = f"  ({'; '.join(note)})" if note else ""
            lines.append(f"  {finding.what:<{width}}  {finding.found}{tail}")
        for name, (found, preset) in self.differences.items():
            lines.append(f"  differs: {name} is {found}; {self.names[0]} has {preset}")
        if self.decide:
            lines.append(f"  to decide: {self.decide}")
        lines += [f"  mend: {line}" for line in self.mend]
        return lines


def join_or(names: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
