"""Plausibility check of a mel's logarithm, by its values.

A client passes bare numbers. Natural logarithms taken for log10 make speech 2.3 times as loud in
decibels and quiet parts vanish; the other way round it becomes a loud murmur. Neither raises an
error.

The check works for recorded or well predicted speech at usual levels, from 0.2 s on. It does not
work for other sounds, for very quiet or noisy speech, and does not see which floor or band was
used. So a mel is refused only if its values do not look like speech in its declared logarithm, but
do in another.
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
        spec: its declared convention; one with a normalisation is not checked.
        client: name of the client, for the message.

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
                f"this mel from {client} is declared as {spec.log}, but its values (median "
                f"{median:.1f}, standard deviation {deviation:.1f}) are those of speech in {log}; "
                f"name a convention with log: {log}, or pass check=False if it is no speech"
            )


def _like_speech(median: float, deviation: float, log: str) -> bool:
    middle, spread = median / LOG_UNIT[log], deviation / LOG_UNIT[log]
    return MEDIAN[0] < middle < MEDIAN[1] and DEVIATION[0] < spread < DEVIATION[1]
