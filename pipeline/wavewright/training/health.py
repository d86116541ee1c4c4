"""Health of a training: healthy, stalled or diverging, and the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

_WORSE = 0.25  # above its best by this share, twice in a row: diverging
_BETTER = 0.01  # less gained than this share: no progress
_STALL = 3  # validations, and this share of all steps, without progress: stalled
_STALL_SHARE = 0.25
_DISCRIMINATOR_WON = 0.05  # its loss over that at first: the generator learns nothing more


class Health(NamedTuple):
    """State of a training and the reason."""

    state: Literal["healthy", "stalled", "diverging"]
    reason: str

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


def assess_health(
    curve: Sequence[Mapping[str, float]], by: str, critic: Sequence[float] = ()
) -> Health | None:
    """Assess a training by its validations.

    Args:
        curve: one mapping per validation, in order, with `step` and the metrics.
        by: metric to assess by; lower is better.
        critic: mean losses of the discriminators between validations, if there are any.

    Returns:
        None before the second validation with a value, or if there is no such metric.
    """
    if not curve or by not in curve[-1]:
        return None
    points = [(int(row["step"]), row[by]) for row in curve if math.isfinite(row.get(by, math.nan))]
    if len(points) < len(curve) and not math.isfinite(curve[-1][by]):
        return Health("diverging", f"{by} has no finite value at step {int(curve[-1]['step'])}")
    if len(points) < 2:
        return None
    best_step, best = min(points, key=lambda point: point[1])
    step, last = points[-1]
    over = last / best - 1 if best > 0 else 0.0
    if over > _WORSE and points[-2][1] / best - 1 > _WORSE:
        return Health(
            "diverging",
            f"{by} is {last:.4g}, {over:.0%} above its best of {best:.4g} at step {best_step:,}. "
            "Lower the learning rate, or start again from the best checkpoint",
        )
    if len(critic) > 2 and critic[0] > 0 and max(critic[-2:]) < _DISCRIMINATOR_WON * critic[0]:
        return Health(
            "stalled",
            f"the discriminator's loss fell to {critic[-1]:.3g} from {critic[0]:.3g}: it tells "
            "every sample apart and teaches nothing. Lower its learning rate",
        )
    progress = _last_progress(points)
    since = len(points) - 1 - progress
    waited = step - points[progress][0]
    if since >= _STALL and waited >= _STALL_SHARE * step:
        return Health(
            "stalled",
            f"{by} is {last:.4g}; it has gained less than {_BETTER:.0%} on "
            f"{points[progress][1]:.4g} since step {points[progress][0]:,}. More steps will hardly "
            "help at this learning rate",
        )
    before = points[-2][1]
    if last <= before:
        gained = 1 - last / before if before > 0 else 0.0
        return Health(
            "healthy", f"{by} is {last:.4g}, {gained:.1%} better than at step {points[-2][0]:,}"
        )
    return Health(
        "healthy",
        f"{by} is {last:.4g}, within {over:.1%} of its best of {best:.4g} at step {best_step:,}",
    )


def _last_progress(points: Sequence[tuple[int, float]]) -> int:
    """Index of the last point better than all before it by at least 1 %."""
    reached = 0
    for i, (_, value) in enumerate(points):
        if value < points[reached][1] * (1 - _BETTER):
            reached = i
    return reached
