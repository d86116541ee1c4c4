"""The documented schema of an evaluation: what `results.json` and `speed.json` hold.

`results.json` depends on nothing but the inputs and the seed; timings live in `speed.json`.
Undefined values are null with a reason.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wavewright.melspec import MelSpec
from wavewright.metrics.metric import Condition, Direction

NATURAL = "natural"
FULL_BAND = 0.98  # of half the sample rate: a mel that reaches it is not called band-limited


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class System(_Record):
    """Something that speaks: the recordings, a baseline or a trained vocoder."""

    id: str = Field(description="folder name and key")
    title: str
    kind: Literal["natural", "baseline", "vocoder"]
    parameters: int = Field(ge=0, description="trainable weights, weight norm folded")
    step: int | None = Field(default=None, description="training step of the checkpoint")


class ConditionInfo(_Record):
    """What a vocoder was fed; `absent` says why it was not evaluated."""

    id: Condition
    title: str
    definition: str
    absent: str = ""

    @property
    def in_sentence(self) -> str:
        """The title within a sentence: small first letter, unless it is an abbreviation."""
        return self.title if self.title[:2].isupper() else self.title[:1].lower() + self.title[1:]


class MetricInfo(_Record):
    """The exact recipe of one column."""

    id: str
    name: str = Field(description="registry name")
    title: str
    unit: str
    direction: Direction
    ideal: float
    band: float | None = Field(description="highest frequency that counts in Hz; null: all")
    definition: str
    conditions: tuple[Condition, ...]


class Utterance(_Record):
    """One test sentence and its recording."""

    id: str
    text: str
    seconds: float


class Value(_Record):
    """One metric of one system's copy of one utterance."""

    system: str
    condition: Condition
    utterance: str
    metric: str
    value: float | None
    reason: str = ""


class Event(_Record):
    """Something that went wrong or was left out, shown at the head of the report."""

    utterance: str
    reason: str
    system: str = ""
    condition: Condition | None = None


class Summary(_Record):
    """Mean with its 95 % bootstrap interval over the utterances where all systems have values.

    `missing` counts the utterances for which this system has none.
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


class Difference(_Record):
    """Paired difference a - b over the utterances that both have."""

    condition: Condition
    metric: str
    a: str
    b: str
    mean: float | None
    low: float | None
    high: float | None
    n: int


class SystemSpeed(_Record):
    """Seconds of computing per second of audio: median and quartiles over the repeats."""

    system: str
    real_time_factor: float
    lower_quartile: float
    upper_quartile: float


class Speed(_Record):
    """How fast, measured how; `speed.json`."""

    device: str
    threads: int
    audio_seconds: float
    warm_ups: int
    repeats: int
    systems: tuple[SystemSpeed, ...]


class Results(_Record):
    """Everything that an evaluation found; `results.json`."""

    schema_version: Literal[1] = 1
    title: str
    note: str = ""
    corpus: str
    split: str
    split_size: int = Field(description="usable utterances in the split, of which these were used")
    quarantined: int = Field(description="utterances that preparation set aside, of all splits")
    seed: int
    mel: MelSpec = Field(description="the conditioning mel")
    versions: dict[str, str]
    conditions: tuple[ConditionInfo, ...]
    metrics: tuple[MetricInfo, ...]
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

    def present(self) -> list[ConditionInfo]:
        """Conditions that were evaluated."""
        return [condition for condition in self.conditions if not condition.absent]

    def metrics_of(self, condition: Condition) -> list[MetricInfo]:
        """Metrics that apply in a condition, in the order they were asked for."""
        return [metric for metric in self.metrics if condition in metric.conditions]

    def summary_of(self, system: str, condition: Condition, metric: str) -> Summary | None:
        """The row of the summary, or None where the system has no values there."""
        key = (system, condition, metric)
        for row in self.summary:
            if (row.system, row.condition, row.metric) == key:
                return row
        return None
