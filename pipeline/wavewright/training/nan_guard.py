"""Updates that would spoil a training: losses and gradients that are no numbers, or that leap."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wavewright.errors import WavewrightError

OnBadStep = Literal["stop", "skip"]
_WINDOW = 100  # losses of a player that its median is of
_KNOWN = 20  # so many make a median
_NAMED = 4  # utterances in a sentence; the file has them all


class BadStep(WavewrightError):
    """A step that would have spoilt the training.

    Attributes:
        step: counted from 0.
        reason: what became of which player's loss or gradients.
        utterances: that its batch was cut from; only those at fault, where that is known.
    """

    def __init__(self, step: int, reason: str, utterances: Sequence[str], remedy: str) -> None:
        self.step, self.reason, self.utterances = step, reason, list(utterances)
        more = "..." if len(self.utterances) > _NAMED else ""
        named = ", ".join(self.utterances[:_NAMED]) + more
        self.words = f"{reason} at step {step} (utterances {named})"
        super().__init__(f"{self.words}. The last checkpoint is intact; {remedy}")


class Guard:
    """Judges every update before the weights change, and counts what was left out.

    Args:
        action: what to do about a bad step.
        leap: a loss is bad from so many times its running median on; None lets it leap.
        most: bad steps in a row that are left out.
    """

    def __init__(
        self, action: OnBadStep = "stop", leap: float | None = None, most: int = 10
    ) -> None:
        self.action, self.leap, self.most = action, leap, most
        self.losses: dict[str, deque[float]] = {}
        self.in_a_row = 0

    def judge(self, player: str, loss: float, norm: float) -> str:
        """What is wrong with an update, in words; empty if nothing is.

        Args:
            player: that would step.
            loss: mean over the batch.
            norm: of its gradients.
        """
        if not math.isfinite(loss):
            return f"the {player}'s loss became {loss}"
        if not math.isfinite(norm):
            return f"the norm of the {player}'s gradients became {norm} (its loss is {loss:.4g})"
        before = self.losses.setdefault(player, deque(maxlen=_WINDOW))
        if self.leap and len(before) >= _KNOWN:
            usual = statistics.median(map(abs, before))
            if usual and abs(loss) > self.leap * usual:
                times = abs(loss) / usual
                return f"the {player}'s loss leapt to {loss:.4g}, {times:.0f} times its median"
        before.append(loss)
        return ""

    def left_out(self, bad: BadStep) -> None:
        """Count one more in a row.

        Raises:
            BadStep: that is too many.
        """
        self.in_a_row += 1
        if self.in_a_row > self.most:
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
        """Take up what `state_dict` gave; an older checkpoint has nothing to give."""
        losses = state.get("losses", {})
        self.losses = {player: deque(values, _WINDOW) for player, values in losses.items()}
        self.in_a_row = int(state.get("in_a_row", 0))
