"""WER and CER: how much more a recogniser misunderstands than of the recording.

The recogniser is small and errs on every fifth word of clear recordings, so that only the
difference says something, and only over many words.
"""

from __future__ import annotations

from wavewright.metrics.metric import Metric, Pair, Score
from wavewright.metrics.recogniser import RATE, understood


class WER(Metric):
    """Word error rate of the candidate less that of the recording."""

    name = "wer"
    recipe = "wer-pocketsphinx-difference"
    title = "WER difference"
    conditions = ("copy", "gta", "tts")
    aligned = False
    rate = RATE
    cost = 1.0
    packages = ("pocketsphinx", "jiwer")

    @property
    def definition(self) -> str:
        return (
            "Word error rate of PocketSphinx (US English, 16 kHz) against the transcript, less "
            "that of the recording; pooled over words. It errs on every fifth word of clear "
            "recordings: a hundred words tell no more than some 7 points apart."
        )

    def score(self, pair: Pair) -> Score:
        import jiwer

        said, true, ours = understood(pair)
        difference = jiwer.wer(said, ours) - jiwer.wer(said, true)
        return Score(float(difference), weight=float(len(said.split())))


class CER(WER):
    """Character error rate of the candidate less that of the recording."""

    name = "cer"
    recipe = "cer-pocketsphinx-difference"
    title = "CER difference"

    @property
    def definition(self) -> str:
        return (
            "Character error rate of PocketSphinx (US English, 16 kHz) against the transcript, "
            "spaces left out, less that of the recording; pooled over characters."
        )

    def score(self, pair: Pair) -> Score:
        import jiwer

        said, true, ours = (text.replace(" ", "") for text in understood(pair))
        difference = jiwer.cer(said, ours) - jiwer.cer(said, true)
        return Score(float(difference), weight=float(len(said)))
