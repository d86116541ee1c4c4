"""What the doctor found, as values and as lines for a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Finding:
    """One thing found, how sure it is, and by what."""

    what: str
    found: str
    confidence: Confidence = "high"
    evidence: str = ""


@dataclass
class Diagnosis:
    """All that was found."""

    verdict: str
    """One sentence."""
    names: list[str] = field(default_factory=list)
    """Presets that explain the mel; several when they are equal or cannot be told apart."""
    confidence: Confidence = "high"
    findings: list[Finding] = field(default_factory=list)
    differences: dict[str, list[str]] = field(default_factory=dict)
    """From the first of `names`: field -> [found, the preset's]; empty when it explains all."""
    decide: str = ""
    """What would tell the candidates apart; empty when nothing is open."""
    mend: list[str] = field(default_factory=list)
    """Commands, or what to do."""
    fits: bool | None = None
    """Whether it fits what it was compared with; None if nothing was compared."""

    def add(
        self, what: str, found: str, confidence: Confidence = "high", evidence: str = ""
    ) -> None:
        """Note a finding."""
        self.findings.append(Finding(what, found, confidence, evidence))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        said = [self.verdict]
        width = max((len(finding.what) for finding in self.findings), default=0)
        for finding in self.findings:
            note = [] if finding.confidence == "high" else [f"{finding.confidence} confidence"]
            note += [finding.evidence] if finding.evidence else []
            tail = f"  ({'; '.join(note)})" if note else ""
            said.append(f"  {finding.what:<{width}}  {finding.found}{tail}")
        for name, (found, preset) in self.differences.items():
            said.append(f"  differs: {name} is {found}; {self.names[0]} has {preset}")
        if self.decide:
            said.append(f"  to decide: {self.decide}")
        said += [f"  mend: {line}" for line in self.mend]
        return said


def listed(names: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
