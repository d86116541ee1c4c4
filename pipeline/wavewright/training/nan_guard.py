"""Detection of updates that would spoil a training: losses or gradients not finite, loss spikes."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wavewright.errors import WavewrightError

OnBadStep = Literal["stop", "skip"]
_WINDOW = 100  # losses of a player in its running median
_MINIMUM = 20  # losses that make a median
_NAMED = 4  # utterances in the message; the file has them all


class BadStep(WavewrightError):
    """A step that would have spoilt the training.

    Attributes:
        step: counted from 0.
        reason: the player whose loss or gradients went wrong, and how.
        utterances: ids in its batch; only those at fault, where that is known.
        summary: reason, step and the first utterances in one line.
    """

    def __init__(self, step: int, reason: str, utterances: Sequence[str], remedy: str) -> None:
        self.step, self.reason, self.utterances = step, reason, list(utterances)
        more = "..." if len(self.utterances) > _NAMED else ""
        named = ", ".join(self.utterances[:_NAMED]) + more
        self.summary = f"{reason} at step {step} (utterances {named})"
        super().__init__(f"{self.summary}. The last checkpoint is intact; {remedy}")


class LossGuard:
    """Check of every update before the weights change, and count of skipped steps in a row.

    Args:
        action: reaction to a bad step.
        spike: multiple of a loss's running median from which it is bad; None accepts any.
        max_bad_steps: bad steps in a row that are skipped; one more stops.
    """

    def __init__(
        self, action: OnBadStep = "stop", spike: float | None = None, max_bad_steps: int = 10
    ) -> None:
        self.action, self.spike, self.max_bad_steps = action, spike, max_bad_steps
        self.losses: dict[str, deque[float]] = {}
        self.in_a_row = 0

    def check(self, player: str, loss: float, norm: float) -> str:
        """Describe what is wrong with an update; "" if nothing is.

        Args:
            player: the one about to step.
            loss: mean over the batch.
            norm: norm of its gradients.
        """
        if not math.isfinite(loss):
            return f"the {player}'s loss became {loss}"
        if not math.isfinite(norm):
            return f"the norm of the {player}'s gradients became {norm} (its loss is {loss:.4g})"
        before = self.losses.setdefault(player, deque(maxlen=_WINDOW))
        if self.spike and len(before) >= _MINIMUM:
            usual = statistics.median(map(abs, before))
            if usual and abs(loss) > self.spike * usual:
                times = abs(loss) / usual
                return f"the {player}'s loss spiked to {loss:.4g}, {times:.0f} times its median"
        before.append(loss)
        return ""

    def count_skipped(self, bad: BadStep) -> None:
        """Count one more skipped step in a row.

        Raises:
            BadStep: it is one too many.
        """
        self.in_a_row += 1
        if self.in_a_row > self.max_bad_steps:
            raise BadStep(
                bad.step,
                f"{self.in_a_row} steps in a row were bad, the last because {bad.reason}",
                bad.utterances,
                "lower the learning rate or look at these utterances and those in "
                "logs/bad_steps.jsonl.",
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        losses = {player: list(values) for player, values in self.losses.items()}
        return {"losses": losses, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`; that of an older checkpoint may be empty."""
        losses = state.get("losses", {})
        self.losses = {player: deque(values, _WINDOW) for player, values in losses.items()}
        self.in_a_row = int(state.get("in_a_row", 0))
