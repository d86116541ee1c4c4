"""Text: what the models read, and that nothing gets lost on the way without a word."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.text.symbols import (
    IPA_SYMBOLS,
    SYMBOLS,
    decode,
    describe_characters,
    encode,
    normalize_text,
    phonemize,
    shorten,
    unknown_symbols,
)


def test_symbols_are_those_of_nvidias_tacotron2() -> None:
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 148
    assert SYMBOLS[:12] == ("_", "-", "!", "'", "(", ")", ",", ".", ":", ";", "?", " ")
    assert (SYMBOLS[12], SYMBOLS[38], SYMBOLS[63]) == ("A", "a", "z")
    assert (SYMBOLS[64], SYMBOLS[65], SYMBOLS[147]) == ("@AA", "@AA0", "@ZH")
    assert sum(symbol.startswith("@") for symbol in SYMBOLS) == 84
    # A trained checkpoint reads numbers: the order may never change.
    listed = hashlib.sha256("\n".join(SYMBOLS).encode()).hexdigest()
    assert listed == "ec5c1790dbfe42e1ef0cea372ab3eb614cc4df326133b0e3f4ccd11103f0545b"


def test_ipa_symbols_never_change_their_order() -> None:
    assert len(IPA_SYMBOLS) == len(set(IPA_SYMBOLS))
    listed = hashlib.sha256("\n".join(IPA_SYMBOLS).encode()).hexdigest()
    assert listed == "c023e35f4c0954ac76ce3ed031d5ad2f1e691627165b91306c73b57551d40f8d"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Two   words\n", "two words"),
        ("“Don’t”, she said — twice…", "don't, she said - twice..."),
        ("raison d'être, Müller, Œuvre, ﬁne", "raison d'etre, muller, oeuvre, fine"),
        ("salt & pepper [sic]", "salt and pepper (sic)"),
        ("zero\u200bwidth\ufeff \u202eleft\u202c", "zerowidth left"),
        ("line\u2028separator\u0085next", "line separator next"),
        ("e\u0301te\u0301", "ete"),
        ("read {R EH1 D} Aloud", "read {R EH1 D} aloud"),
        ("\u0419 and 5", "\u0439 and 5"),
    ],
)
def test_normalisation(raw: str, expected: str) -> None:
    assert normalize_text(raw) == expected


@pytest.mark.slow
@given(st.text())
def test_normalising_twice_is_normalising_once(raw: str) -> None:
    once = normalize_text(raw)
    assert normalize_text(once) == once


@given(st.text())
def test_a_text_is_encoded_whole_or_refused(raw: str) -> None:
    text = normalize_text(raw)
    if text and not unknown_symbols(text):
        assert decode(encode(text)) == " ".join(text.split()) or "{" in text
    else:
        with pytest.raises(WavewrightError):
            encode(text)


def test_unknown_symbols_are_named() -> None:
    with pytest.raises(WavewrightError, match=r"'1' \(DIGIT ONE\).*'\\xa3' \(POUND SIGN\)"):
        encode(normalize_text("It cost £1"))
    with pytest.raises(WavewrightError, match=r"'\\x1b'"):
        encode("red\x1b[31m")
    with pytest.raises(WavewrightError, match="'@QQ9'"):
        encode("{QQ9}")


def test_padding_is_no_symbol_of_a_text() -> None:
    assert unknown_symbols("a_b") == ["_"]
    with pytest.raises(WavewrightError, match="empty"):
        encode("   ")


def test_arpabet_in_braces() -> None:
    numbers = encode("hi {HH AH0} you")
    assert numbers[3:5] == [SYMBOLS.index("@HH"), SYMBOLS.index("@AH0")]
    assert decode(numbers) == "hi {HH AH0} you"
    with pytest.raises(WavewrightError, match="148"):
        decode([0, 148])


def test_messages_escape_and_cut() -> None:
    assert "\x1b" not in shorten("\x1b[31m" + "x" * 200)
    assert len(shorten("x" * 200)) < 70
    assert describe_characters([chr(c) for c in range(0x400, 0x40C)]).endswith("and 4 more")


def test_official_texts_need_no_other_symbol(shared: Path) -> None:
    path = shared / "corpora" / "ljspeech-meta" / "metadata.csv"
    missing = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        missing |= set(unknown_symbols(normalize_text(line.split("|")[2])))
    assert missing == set()


def test_phonemes() -> None:
    pytest.importorskip("phonemizer")
    spoken = phonemize("“Hello”, world! It cost 3 dollars.")
    assert spoken == "həlˈoʊ, wˈɜːld! ɪt kˈɔst θɹˈiː dˈɑːlɚz."
    assert decode(encode(spoken, IPA_SYMBOLS), IPA_SYMBOLS) == spoken
    assert phonemize("colour", "en-gb") != phonemize("colour", "en-us")
    with pytest.raises(WavewrightError, match="no phonemes for language 'xx'"):
        phonemize("a", "xx")


def test_phonemes_without_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from wavewright.text import symbols as text

    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    text._phonemizer.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'wavewright\[phonemes\]'"):
        phonemize("hello")
