"""The contract suite: every check that applies to a vocoder."""

from __future__ import annotations

from wavewright.models.vocoder import Vocoder
from wavewright.testing.export import check_export
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
from wavewright.testing.streaming import check_chunked, check_receptive_field, check_streaming
from wavewright.testing.training import check_training


def check_vocoder(vocoder: Vocoder, *, segment_length: int | None = None) -> None:
    """Run every check that applies to the vocoder's declared capabilities.

    Args:
        vocoder: in a small configuration, on the CPU; it is not changed.
        segment_length: samples of the training crops, a multiple of the hop length; None means
            the smallest multiple that its mel can be computed of, or 4096 if that is longer.

    Raises:
        AssertionError: saying what was expected of which capability.
    """
    check_configuration(vocoder)
    if vocoder.conditioning == "mel":
        check_output(vocoder)
        check_determinism(vocoder)
        check_batch(vocoder)
        check_refusals(vocoder)
        check_target_steps(vocoder)
    else:
        check_sampling(vocoder)
    check_saving(vocoder)
    check_receptive_field(vocoder)
    check_streaming(vocoder)
    check_chunked(vocoder)
    check_export(vocoder)
    check_training(vocoder, segment_length=segment_length)
