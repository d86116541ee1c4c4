"""Speech from espeak-ng: the same samples every time, and timings that the sound bears out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from wavewright.errors import WavewrightError
from wavewright.text.espeak import EspeakSpeech, synthesize
from wavewright.text.textgrid import SILENCES

pytest.importorskip("espeakng_loader")

SENTENCE = "The quick, brown fox wouldn't jump over a lazy dog."


@pytest.fixture(scope="module")
def spoken() -> EspeakSpeech:
    return synthesize(SENTENCE)


def test_equal_texts_give_equal_samples_whatever_came_before(spoken: EspeakSpeech) -> None:
    synthesize("Something else, entirely!", voice="de", words_per_minute=200)
    again = synthesize(SENTENCE)
    assert np.array_equal(again.wav, spoken.wav)
    assert again.alignment == spoken.alignment


def test_form(spoken: EspeakSpeech) -> None:
    assert spoken.sample_rate == 22_050
    assert spoken.wav.dtype == np.int16
    assert 2.5 < len(spoken.wav) / 22_050 < 5
    assert 0.2 < np.abs(spoken.wav).max() / 32_768 < 0.99
    assert spoken.alignment.duration == len(spoken.wav) / 22_050


def test_words_and_phones_cover_everything(spoken: EspeakSpeech) -> None:
    alignment = spoken.alignment
    words = [word.label for word in alignment.words if word.label]
    assert words == ["The", "quick", "brown", "fox", "wouldn't", "jump", "over", "a", "lazy", "dog"]
    for tier in (alignment.words, alignment.phones):
        assert tier[0].start == 0.0
        assert tier[-1].end == alignment.duration
        assert all(a.end == b.start for a, b in pairwise(tier))
        assert all(interval.start < interval.end for interval in tier)
    borders = {phone.start for phone in alignment.phones}
    assert {word.start for word in alignment.words} <= borders
    # The comma is a pause between "quick" and "brown".
    labels = [word.label for word in alignment.words]
    assert labels[labels.index("quick") + 1] == ""


def test_sound_is_where_the_timings_say(spoken: EspeakSpeech) -> None:
    def rms(start: float, end: float) -> float:
        part = spoken.wav[round(start * 22_050) : round(end * 22_050)].astype(float) / 32_768
        return float(np.sqrt((part**2).mean()))

    phones = spoken.alignment.phones
    silences = [rms(p.start, p.end) for p in phones if p.label in SILENCES]
    stressed = [rms(p.start, p.end) for p in phones if p.label[0] == "\u02c8"]
    assert len(silences) == 3
    assert len(stressed) >= 6
    assert max(silences) < 0.01
    assert min(stressed) > 0.05
    # Speech begins within a few milliseconds of the first phone: the padding is silent.
    first = phones[1].start
    assert rms(0.0, first) == 0.0
    assert rms(first, first + 0.05) > 0.001


@pytest.mark.parametrize("text", ["", "...", "  "])
def test_nothing_to_speak(text: str) -> None:
    with pytest.raises(WavewrightError, match="nothing to speak"):
        synthesize(text)


def test_faulty_settings() -> None:
    with pytest.raises(WavewrightError, match="no voice 'xx'"):
        synthesize("Hello.", voice="xx")
    with pytest.raises(WavewrightError, match="80 to 450"):
        synthesize("Hello.", words_per_minute=10)
