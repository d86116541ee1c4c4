"""Documented schema of an evaluation: contents of `results.json` and `speed.json`.

`results.json` depends on nothing but the inputs and the seed; timings live in `speed.json`.
Undefined values are null with a reason.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wavewright.evaluation.statistics import PairedTest
from wavewright.mel.spec import MelSpec
from wavewright.metrics.metric import Condition, Direction

NATURAL = "natural"
SIGNIFICANCE_LEVEL = 0.05
FULL_BAND = 0.98  # of half the sample rate; a mel that reaches it is not band-limited


def band_limit(mel: MelSpec) -> float | None:
    """Highest frequency in Hz that a mel covers; None if it covers all of them."""
    return mel.fmax if mel.fmax < FULL_BAND * mel.sample_rate / 2 else None


class _ResultsModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class System(_ResultsModel):
    """System in a report: the recordings, an anchor, a baseline, a trained vocoder or files."""

    id: str = Field(description="folder name and key")
    title: str
    kind: Literal["natural", "anchor", "baseline", "vocoder", "files"]
    parameters: int | None = Field(
        default=None, ge=0, description="trainable weights, weight norm folded; null: unknown"
    )
    step: int | None = Field(default=None, description="training step of the checkpoint")
    source: str = Field(default="", description="where it came from: a folder or a checkpoint")
    digest: str = Field(default="", description="sha256 of the weights")
    refine: int = Field(
        default=0, ge=0, description="iterations of mel consistency after the vocoder; 0: none"
    )
    sample_rate: int | None = Field(
        default=None, description="of its files in Hz, where they were brought to another"
    )

    @property
    def is_candidate(self) -> bool:
        """True for systems in rankings and tests; recordings and anchors only show the scale."""
        return self.kind not in ("natural", "anchor")


class ConditionInfo(_ResultsModel):
    """Condition under which vocoders were run; `absent` says why it was not evaluated."""

    id: Condition
    title: str
    definition: str
    absent: str = ""

    @property
    def title_in_sentence(self) -> str:
        """Title within a sentence: small first letter, unless it is an abbreviation."""
        return self.title if self.title[:2].isupper() else self.title[:1].lower() + self.title[1:]


class MetricInfo(_ResultsModel):
    """Exact definition of one metric, a column of the tables."""

    id: str
    name: str = Field(description="registry name")
    title: str
    unit: str
    direction: Direction
    ideal: float
    lowest: float | None = Field(default=None, description="end of the range; null: none")
    highest: float | None = Field(default=None, description="end of the range; null: none")
    rate: int | None = Field(
        default=None, description="sample rate in Hz at which it hears; null: that of the files"
    )
    band: float | None = Field(description="highest frequency that counts in Hz; null: all")
    phones: str | None = Field(default=None, description="class of phones that counts; null: all")
    definition: str
    conditions: tuple[Condition, ...]

    @property
    def is_headline(self) -> bool:
        """True if it ranks systems, over all frequencies and phones; only those are tested."""
        return self.direction != "ideal" and self.band is None and self.phones is None


class Utterance(_ResultsModel):
    """Test sentence and its recording."""

    id: str
    text: str
    seconds: float
    speaker: str = ""


class Value(_ResultsModel):
    """One metric of one system's copy of one utterance."""

    system: str
    condition: Condition
    utterance: str
    metric: str
    value: float | None
    reason: str = ""
    weight: float = Field(default=1.0, description="what it counts for in a mean")


class Event(_ResultsModel):
    """Failure or exclusion, listed in the report."""

    utterance: str
    reason: str
    system: str = ""
    condition: Condition | None = None


class Summary(_ResultsModel):
    """Mean with its 95 % interval over the utterances where all systems have values.

    `missing` counts the utterances for which this system has none. Below six utterances there is
    no interval.
    """

    system: str
    condition: Condition
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    n: int
    missing: int


class Difference(_ResultsModel):
    """Paired difference a - b over the utterances that both have.

    `corrected` is Holm's, over all pairs of systems and headline metrics of the condition; it is
    null for metrics that are no headline, whose `p` stands alone.
    """

    condition: Condition
    metric: str
    a: str
    b: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = Field(default=None, description="two-sided; null: too few utterances")
    corrected: float | None = Field(default=None, description="p after Holm's correction")
    effect: float | None = Field(default=None, description="rank-biserial correlation, -1 to 1")
    test: PairedTest = Field(default="", description="which test gave p")

    @property
    def significant(self) -> bool:
        """True by the corrected test, or by the interval where there is no such test."""
        if self.corrected is not None:
            return self.corrected < SIGNIFICANCE_LEVEL
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


class SystemSpeed(_ResultsModel):
    """Seconds of computing per second of audio: median and quartiles over the repeats."""

    system: str
    real_time_factor: float
    lower_quartile: float
    upper_quartile: float
    first_sound: float | None = Field(
        default=None,
        description="seconds from a stream's start to its first sound; null: cannot stream",
    )
    memory: float | None = Field(
        default=None,
        description="MB that one call held at most beyond what was there; null: unknown",
    )


class Speed(_ResultsModel):
    """Speed of the systems, and how it was measured; `speed.json`."""

    device: str
    threads: int
    audio_seconds: float
    warm_ups: int
    repeats: int
    systems: tuple[SystemSpeed, ...]


class Results(_ResultsModel):
    """All results of an evaluation; `results.json`."""

    schema_version: Literal[2] = 2
    title: str
    note: str = ""
    corpus: str
    split: str
    split_size: int = Field(description="usable utterances in the split, of which these were used")
    quarantined: int = Field(description="utterances that preparation set aside, of all splits")
    seed: int
    sample_rate: int = Field(description="at which everything was compared, in Hz")
    mel: MelSpec | None = Field(description="the conditioning mel; null: unknown")
    band: float | None = Field(
        default=None, description="highest frequency in Hz that vocoders were given; null: all"
    )
    versions: dict[str, str]
    conditions: tuple[ConditionInfo, ...]
    metrics: tuple[MetricInfo, ...]
    absent_metrics: dict[str, str] = Field(
        default_factory=dict, description="asked for by name but not measured, and why"
    )
    systems: tuple[System, ...]
    utterances: tuple[Utterance, ...]
    events: tuple[Event, ...]
    values: tuple[Value, ...]
    summary: tuple[Summary, ...]
    differences: tuple[Difference, ...]

    @property
    def seconds(self) -> float:
        """Seconds of natural speech."""
        return sum(utterance.seconds for utterance in self.utterances)

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers, sorted; empty where they are unknown."""
        return sorted({utterance.speaker for utterance in self.utterances} - {""})

    def evaluated_conditions(self) -> list[ConditionInfo]:
        """Conditions that were evaluated."""
        return [condition for condition in self.conditions if not condition.absent]

    def metrics_for(self, condition: Condition) -> list[MetricInfo]:
        """Metrics that apply in a condition, in the order they were asked for."""
        return [metric for metric in self.metrics if condition in metric.conditions]
