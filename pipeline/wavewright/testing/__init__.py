"""Contract tests for vocoders, for anybody who writes one.

    from wavewright import create_vocoder
    from wavewright.testing import check_vocoder

    def test_my_vocoder() -> None:
        check_vocoder(create_vocoder("mine", channels=4))

`check_vocoder` is all checks but `check_overfit`, which asks whether it learns. Every check follows
from what the vocoder declares of itself (`conditioning`, `trains`, `streams`, `exports`) and fails
with an AssertionError that says what was expected and, where it can be told, what to do. The
vocoder is left as it was. Give it a small configuration: everything runs on the CPU.
"""

from wavewright.testing.export import check_export
from wavewright.testing.inputs import example_mel
from wavewright.testing.output import (
    check_batch,
    check_configuration,
    check_determinism,
    check_output,
    check_refusals,
    check_sampling,
    check_saving,
    check_target_steps,
)
from wavewright.testing.streaming import (
    check_chunked,
    check_receptive_field,
    check_streaming,
    measured_receptive_field,
)
from wavewright.testing.suite import check_vocoder
from wavewright.testing.training import check_overfit, check_training

__all__ = [
    "check_batch",
    "check_chunked",
    "check_configuration",
    "check_determinism",
    "check_export",
    "check_output",
    "check_overfit",
    "check_receptive_field",
    "check_refusals",
    "check_sampling",
    "check_saving",
    "check_streaming",
    "check_target_steps",
    "check_training",
    "check_vocoder",
    "example_mel",
    "measured_receptive_field",
]
