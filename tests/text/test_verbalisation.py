"""Text normalisation: every rule by its examples, and that nothing else happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavewright.errors import WavewrightError
from wavewright.metrics.recognizer import normalize_transcript
from wavewright.text.symbols import encode, normalize_text, unknown_symbols
from wavewright.text.verbalisation import number_words
from wavewright.text.verbalisation.english import RULES, verbalize
from wavewright.text.verbalisation.sentences import split_sentences

EXAMPLES = [(rule.name, *example) for rule in RULES for example in rule.examples]
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co")))
PIECES = re.findall(
    r"\S+",
    """
    0 1 2 12 90 100 1,234 1984 007 3.50 $ £ € % ° C F k m km ft. min. : / - – . , ' ( ) # + =
    a.m. p.m. am Mr. Dr. St. No. Vol. etc. U.S. FBI Ph.D. Nov. May 3rd th s IV I The He and
    Smith street {AH0} Henry Part ½ US v. e.g. J. WW BC
    """,
)
TRICKY = st.builds(
    lambda space, parts: space.join(parts),
    st.sampled_from(["", " "]),
    st.lists(st.sampled_from(PIECES)),
)


@pytest.mark.parametrize(("rule", "written", "spoken"), EXAMPLES)
def test_examples(rule: str, written: str, spoken: str) -> None:
    assert verbalize(written) == spoken
    assert verbalize(spoken) == spoken


def test_every_rule_has_a_name_and_an_example_that_it_is_needed_for() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert any(rule.pattern.search(written) for written, _ in rule.examples), rule.name


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (
            "Dr. Smith paid $3.50 on Nov. 22, 1963, at 3:30 p.m. He left.",
            "Doctor Smith paid three dollars and fifty cents on November twenty-second, "
            "nineteen sixty-three, at three thirty p m. He left.",
        ),
        ("He moved to Main St. The house", "He moved to Main Street. The house"),
        ("at St. John's in May 2024", "at Saint John's in May twenty twenty-four"),
        ("say {HH AH0 L OW1} 2 Mr. {B L AE1 K}", "say {HH AH0 L OW1} two Mister {B L AE1 K}"),
        ("{N AH1 M B 2} 3", "{N AH1 M B 2} three"),
        ("1" * 40, " ".join(["one"] * 40)),
        ("$1,000,000 or 0.5%", "one million dollars or zero point five percent"),
        ("\ue000 5", "\ue000 five"),
    ],
)
def test_rules_together(written: str, spoken: str) -> None:
    assert verbalize(written) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "It was a bright cold day in April, and the clocks were striking.",
        "No. I do not. May I? In May we march; mar not the sun.",
        "NASA and UNESCO",
        "the end of i. and e.",
        "café, naïve, 漢字 @ # ^ ~ <b> a/b",
        "",
        "  two  spaces\n",
    ],
)
def test_what_needs_no_rule_stays(text: str) -> None:
    assert verbalize(text) == text


def test_what_has_no_rule_is_left_to_be_named() -> None:
    assert verbalize("x^2 @ 5") == "x^two @ five"
    assert unknown_symbols(normalize_text(verbalize("x^2 @ 5"))) == ["@", "^"]
    encode(normalize_text(verbalize("1st: £5, 50%, 3°C & ½.")))


@given(st.one_of(TEXTS, TRICKY))
@settings(max_examples=300, deadline=None)
def test_twice_is_once_and_no_digit_is_left(text: str) -> None:
    once = verbalize(text)
    assert verbalize(once) == once
    assert not re.search("[0-9]", re.sub(r"\{[^{}]*\}", "", once))


@given(st.one_of(TEXTS, TRICKY))
@settings(max_examples=300, deadline=None)
def test_no_symbol_without_a_rule_and_no_arpabet_is_lost(text: str) -> None:
    spoken = verbalize(text)
    assert re.findall(r"\{[^{}]*\}", spoken) == re.findall(r"\{[^{}]*\}", text)
    for symbol in "@^~<>|_\\漢é!?;":
        assert spoken.count(symbol) == text.count(symbol)


@given(st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True).filter(
    lambda word: word not in ("etc", "cpu")), min_size=1), st.integers(0, 10**6))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_nothing_but_words_is_added(words: list[str], number: int) -> None:
    text = " ".join([*words, str(number), *words])
    first, *rest = verbalize(text).split()
    assert [first, *rest][: len(words)] == words
    assert rest[-len(words) :] == words


def test_plain_changes_nothing_and_other_names_are_refused() -> None:
    assert verbalize("Dr. 5%", "plain") == "Dr. 5%"
    with pytest.raises(WavewrightError, match=r"no text rules 'german'\. Allowed: english, plain"):
        verbalize("5", "german")  # type: ignore[arg-type]


def test_a_text_without_digits_needs_no_library(source_environment: dict[str, str]) -> None:
    code = (
        "import sys; from wavewright.text.verbalisation.english import verbalize; "
        "verbalize('Mr. Fox etc.'); assert 'inflect' not in sys.modules and "
        "'torch' not in sys.modules; verbalize('5'); assert 'inflect' in sys.modules; "
        "import typeguard; assert typeguard.typechecked.__module__.startswith('typeguard')"
    )
    subprocess.run([sys.executable, "-c", code], env=source_environment, check=True)


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("1900", "nineteen hundred"),
        ("1907", "nineteen oh seven"),
        ("2000", "two thousand"),
        ("2009", "two thousand nine"),
        ("2010", "twenty ten"),
    ],
)
def test_years(digits: str, words: str) -> None:
    assert number_words.year(digits) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Mr. Smith came. He left.", ["Mr. Smith came.", "He left."]),
        ("It is 3.14 now.", ["It is 3.14 now."]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("  spaces\n and lines  ", ["spaces and lines"]),
        ("no end", ["no end"]),
        ("Well. !", ["Well. !"]),
        ("", [""]),
        ("J. F. Kennedy said no. Then he left.", ["J. F. Kennedy said no.", "Then he left."]),
        ("the U.S. Army. In the U.S. He", ["the U.S. Army.", "In the U.S.", "He"]),
        ("No. 5 is here. No. It is not.", ["No. 5 is here.", "No.", "It is not."]),
        ("cats, e.g. Tom, etc. They", ["cats, e.g. Tom, etc.", "They"]),
        ("at 3 p.m. The end", ["at 3 p.m.", "The end"]),
        ("{AH0 M.} Then", ["{AH0 M.} Then"]),
    ],
)
def test_texts_are_cut_at_the_ends_of_sentences(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


@given(st.one_of(TEXTS, TRICKY))
@settings(max_examples=200, deadline=None)
def test_cutting_loses_no_word(text: str) -> None:
    words = re.findall(r"\w+", text)
    assert [word for piece in split_sentences(text) for word in re.findall(r"\w+", piece)] == words


@pytest.mark.slow
def test_ljspeechs_own_normalisation_is_nearly_ours(shared: Path) -> None:
    path = shared / "corpora" / "ljspeech-meta" / "metadata.csv"
    rows = [line.split("|")[1:] for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [(raw, theirs) for raw, theirs in rows if re.search("[0-9]", raw)]
    same = sum(
        normalize_transcript(verbalize(raw)).replace("dollars and", "dollars")
        == normalize_transcript(verbalize(theirs)).replace("dollars and", "dollars")
        for raw, theirs in pairs
    )
    # What differs is mostly dates: "November twenty-two" there, "November twenty-second" here.
    assert len(pairs) > 1000
    assert same / len(pairs) > 0.7
    assert not any(re.search("[0-9]", verbalize(raw)) for raw, _ in rows)
