"""Phone texts and the lexicon: what a model reads that learnt from the phones of TextGrids."""

from __future__ import annotations

from typing import Any

import pytest

from wavewright.acoustic.lexicon import Lexicon, build_lexicon, phone_text, spoken_words
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.errors import WavewrightError
from wavewright.text.symbols import SYMBOLS, encode
from wavewright.text.textgrid import Alignment, Interval

LEXICON = Lexicon({"turn": "T ER N", "left": "L EH F T", "o'brien": "OW B R AY N", "i'm": "AY M"})


def tier(*spans: tuple[float, str]) -> tuple[Interval, ...]:
    """Intervals that follow each other, by their ends."""
    starts = [0.0, *(end for end, _ in spans)]
    return tuple(
        Interval(start, end, label) for start, (end, label) in zip(starts, spans, strict=False)
    )


PHONES = tier(
    (0.1, "sil"), (0.2, "T"), (0.3, "ER"), (0.4, "N"), (0.5, "L"), (0.6, "EH"), (0.7, "F"),
    (0.8, "T"), (1.0, "sp"), (1.1, "AY"), (1.2, "M"), (1.3, ""),
)  # fmt: skip
WORDS = tier((0.1, ""), (0.4, "Turn"), (0.8, "left"), (1.0, ""), (1.2, "I'm"), (1.3, ""))
SAID = Alignment(words=WORDS, phones=PHONES, duration=1.3)


def test_a_recording_becomes_its_words_with_commas_for_pauses() -> None:
    expected = "{T ER N} {L EH F T}, {AY M}"
    assert phone_text(SAID) == f"{expected}."
    assert phone_text(SAID, "Turn left, I'm ...?") == f"{expected}?"
    assert phone_text(SAID, "Turn! left. I'm!\")") == f"{expected}!"
    assert [word.label for word in spoken_words(SAID)] == ["Turn", "left", "I'm"]
    named = [SYMBOLS[number] for number in encode(phone_text(SAID))]
    assert named == ["@T", "@ER", "@N", " ", *["@L", "@EH", "@F", "@T"], ",", " ", "@AY", "@M", "."]


def test_a_textgrid_without_words_is_parted_at_its_pauses() -> None:
    assert phone_text(Alignment((), PHONES, 1.3)) == "{T ER N L EH F T}, {AY M}."


def test_silence_has_no_phones() -> None:
    with pytest.raises(WavewrightError, match="no phone that is not silence"):
        phone_text(Alignment((), tier((1.0, "sil")), 1.0))


def test_the_lexicon_has_the_most_frequent_phones_of_known_symbols() -> None:
    def said(*phones: str) -> Alignment:
        spans = [(0.1 * (number + 1), phone) for number, phone in enumerate(phones)]
        return Alignment(tier((spans[-1][0], "The")), tier(*spans), spans[-1][0])

    alignments = [SAID, said("DH", "IY"), said("DH", "AH"), said("DH", "AH"), said("D", "spn")]
    gathered = build_lexicon(alignments, set(SYMBOLS))
    assert gathered == {"i'm": "AY M", "left": "L EH F T", "the": "DH AH", "turn": "T ER N"}
    assert list(gathered) == sorted(gathered)
    assert build_lexicon([said("DH", "IY"), said("DH", "AH")], set(SYMBOLS)) == {"the": "DH AH"}
    assert build_lexicon([Alignment((), PHONES, 1.3)], set(SYMBOLS)) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn left", "{T ER N} {L EH F T}."),
        ("turn, left?", "{T ER N}, {L EH F T}?"),
        ("turn - left!", "{T ER N}, {L EH F T}!"),
        ("(turn) 'left' ... o'brien", "{T ER N}, {L EH F T}, {OW B R AY N}."),
        ("turn-left", "{T ER N} {L EH F T}."),
        ("turn {HH AW1 S}.", "{T ER N} {HH AW1 S}."),
        ("turn {L EH1 F T}", "{T ER N} {L EH F T}."),  # the model learnt no stress
        ("{T}", "{T}."),
    ],
)
def test_ordinary_texts_become_phone_texts(text: str, expected: str) -> None:
    assert LEXICON.phone_text(text) == expected


def test_a_phone_text_stays_as_it_is() -> None:
    assert LEXICON.phone_text(phone_text(SAID)) == phone_text(SAID)
    stressed = Lexicon({"house": "HH AW1 S"})
    assert stressed.phone_text("{HH AW1 S}, {AW}!") == "{HH AW1 S}, {AW}!"


def test_all_unknown_words_are_named_at_once() -> None:
    with pytest.raises(WavewrightError) as caught:
        LEXICON.phone_text("turn right at house-left, 漢 50% {T}")
    assert str(caught.value) == (
        "cannot pronounce 'right', 'at', 'house-left', '漢', '50', '%' in 'turn right at "
        "house-left, 漢 50% {T}': the model knows 4 words, those of its training. ARPAbet in "
        "braces can stand for a word: {HH AW1 S}"
    )
    many = " ".join(f"{a}{b}" for a in "xyz" for b in "abcd")
    with pytest.raises(WavewrightError, match="'ya', 'yb', 'yc', 'yd' and 4 more in"):
        LEXICON.phone_text(many)
    for nothing in ("", " ... ", "{}"):
        with pytest.raises(WavewrightError, match="nothing to pronounce"):
            LEXICON.phone_text(nothing)


def test_a_model_of_phones_reads_texts_by_its_lexicon() -> None:
    small: dict[str, Any] = {"encoder_width": 8, "attention_rnn_width": 8, "decoder_rnn_width": 8}
    model = Tacotron2.create("tacotron2", phonemes="arpabet", lexicon={"turn": "T ER1 N"}, **small)
    assert model.reads_phones
    assert model.symbols == SYMBOLS
    named = [model.symbols[number] for number in model.encode_text("Turn {HH AW1 S}")]
    assert named == ["@T", "@ER1", "@N", " ", "@HH", "@AW1", "@S", "."]
    with pytest.raises(WavewrightError, match=r"no symbol for '@XX'"):
        model.encode_text("turn {XX}")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"lexicon": {"a": "AH"}}, "lexicon is for phonemes: arpabet"),
        ({"lexicon": {"a": "AH X"}, "phonemes": "arpabet"}, "lexicon has 'a' as 'AH X'"),
        ({"lexicon": {"a": " "}, "phonemes": "arpabet"}, "lexicon has 'a' as ' '"),
    ],
)
def test_a_lexicon_that_cannot_be_read_is_refused(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(WavewrightError, match=expected):
        Tacotron2.create("tacotron2", **config)
