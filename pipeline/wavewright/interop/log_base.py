"""Plausibility check of a mel's logarithm, by its values.

A client hands over bare numbers. Natural logarithms given as log10 make speech 2.3 times as loud
in decibels and quiet parts vanish; the other way round it becomes a loud murmur. Neither fails.

What can be seen: recorded or well predicted speech at usual levels, from a fifth of a second on.
What cannot: other sounds, very quiet or noisy speech, and which floor or band was used. So a mel
is refused only if it does not look like speech as it is said to be and does look so in another
logarithm.
"""

from __future__ import annotations

from torch import Tensor

from wavewright.errors import MelMismatch
from wavewright.mel.spec import LOG_UNIT, MelSpec

#: Of the natural logarithms in an utterance. Measured on three corpora in three conventions:
#: medians of -6.7 to -4.9, standard deviations of 1.6 to 3.3. In a wrong base these become, at
#: their nearest, -2.9 and 1.42, or -11.3 and 3.7; the bounds lie between.
MEDIAN = (-8.7, -3.8)
DEVIATION = (1.45, 3.5)
LEAST_SECONDS = 0.2


def require_plausible_log(mel: Tensor, spec: MelSpec, client: str) -> None:
    """Raise if a mel's values look like speech in another logarithm than `spec.log`.

    Args:
        mel: (n_mels, frames), or the other way round.
        spec: what it is said to be; one with a normalisation is not judged.
        client: who gave it, for the message.

    Raises:
        MelMismatch: they look like speech in another logarithm, which is named.
    """
    seconds = mel.numel() / spec.n_mels * spec.hop_length / spec.sample_rate
    if spec.normalisation is not None or seconds < LEAST_SECONDS:
        return
    median, deviation = float(mel.median()), float(mel.std())
    if _like_speech(median, deviation, spec.log):
        return
    for log in LOG_UNIT:
        if _like_speech(median, deviation, log):
            raise MelMismatch(
                f"this mel from {client} is said to be in {spec.log}, but its values (median "
                f"{median:.1f}, standard deviation {deviation:.1f}) are those of speech in {log}; "
                f"name a convention with log: {log}, or pass check=False if it is no speech"
            )


def _like_speech(median: float, deviation: float, log: str) -> bool:
    middle, spread = median / LOG_UNIT[log], deviation / LOG_UNIT[log]
    return MEDIAN[0] < middle < MEDIAN[1] and DEVIATION[0] < spread < DEVIATION[1]
