"""WER and CER: recognition errors on the candidate minus those on the recording.

The recognizer is small and gets every fifth word of clear recordings wrong, so only the difference
is meaningful, and only over many words.
"""

from __future__ import annotations

from wavewright.metrics.metric import Metric, MetricScore, WavPair
from wavewright.metrics.recognizer import RATE, transcribe


class WER(Metric):
    """Word error rate of the candidate minus that of the recording."""

    name = "wer"
    variant_id = "wer-pocketsphinx-difference"
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

    def score(self, pair: WavPair) -> MetricScore:
        import jiwer

        transcript, true, ours = transcribe(pair)
        difference = jiwer.wer(transcript, ours) - jiwer.wer(transcript, true)
        return MetricScore(float(difference), weight=float(len(transcript.split())))


class CER(WER):
    """Character error rate of the candidate minus that of the recording."""

    name = "cer"
    variant_id = "cer-pocketsphinx-difference"
    title = "CER difference"

    @property
    def definition(self) -> str:
        return (
            "Character error rate of PocketSphinx (US English, 16 kHz) against the transcript, "
            "spaces left out, less that of the recording; pooled over characters."
        )

    def score(self, pair: WavPair) -> MetricScore:
        import jiwer

        transcript, true, ours = (text.replace(" ", "") for text in transcribe(pair))
        difference = jiwer.cer(transcript, ours) - jiwer.cer(transcript, true)
        return MetricScore(float(difference), weight=float(len(transcript)))
