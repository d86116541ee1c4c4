"""Reading aloud: sentences, failures of attention, and trying again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from wavewright.acoustic.model import AcousticModel, Speech
from wavewright.acoustic.reading import problem, read, say, sentences
from wavewright.melspec import MelSpec
from wavewright.model import ModelConfig

STEPS, SYMBOLS = 40, 20


def diagonal(steps: int = STEPS, symbols: int = SYMBOLS) -> Tensor:
    """One symbol after the other, sharply."""
    places = torch.arange(steps) * symbols // steps
    return torch.nn.functional.one_hot(places, symbols).float()


def speech(alignment: Tensor, stopped: bool = True) -> Speech:
    return Speech(torch.zeros(4, len(alignment)), alignment, stopped)


class Config(ModelConfig):
    """Of a model that speaks alignments it is given."""

    mel: MelSpec = MelSpec.preset("tacotron2")


class Scripted(AcousticModel):
    """Says one speech after the other, whatever the text; remembers texts and seeds."""

    Config = Config

    def __init__(self, *speeches: Speech) -> None:
        super().__init__(Config(), name="scripted")
        self.speeches, self.seeds, self.texts = list(speeches), [], []  # type: ignore[var-annotated]

    def encode_text(self, text: str) -> list[int]:
        self.texts.append(text)
        return [1] * len(text)

    def speak_all(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None,
        speakers: Sequence[str] = (),
    ) -> list[Speech]:
        self.seeds += seeds
        return [self.speeches[min(len(self.seeds), len(self.speeches)) - 1]]


SKIPS = diagonal(symbols=10) @ torch.eye(10, SYMBOLS)  # half of the symbols are never looked at
JUMPS = diagonal()[torch.tensor([0, 30, 1, 31] * 10) + torch.arange(40) // 5]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (speech(diagonal()), ""),
        (speech(diagonal(), stopped=False), "did not find the end"),
        (speech(SKIPS), "left out 45% of its text"),
        (speech(JUMPS), "of its"),
    ],
    ids=["good", "endless", "skips", "jumps"],
)
def test_what_went_wrong_is_told(found: Speech, expected: str) -> None:
    assert expected in problem(found)
    assert bool(problem(found)) == bool(expected)


def test_a_good_first_try_is_taken_as_it_is() -> None:
    model = Scripted(speech(diagonal()))
    said = say(model, "text", seed=5)
    assert (said.tries, said.problem, model.seeds) == (1, "", [5])


def test_after_a_failure_other_noise_is_tried() -> None:
    model = Scripted(speech(SKIPS), speech(diagonal(), stopped=False), speech(diagonal()))
    said = say(model, "text", seed=5)
    assert (said.tries, said.problem) == (3, "")
    assert len(set(model.seeds)) == 3
    again = Scripted(*model.speeches)
    say(again, "text", seed=5)
    assert again.seeds == model.seeds


def test_where_all_fail_the_best_is_kept_and_told(caplog: pytest.LogCaptureFixture) -> None:
    worst, best = speech(SKIPS, stopped=False), speech(SKIPS)
    said = say(Scripted(worst, best, worst), "text", seed=0, tries=3)
    assert said.speech is best
    assert said.problem.startswith("left out")
    assert "in each of 3 tries" in caplog.text


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
    ],
)
def test_texts_are_cut_at_the_ends_of_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_no_word_is_lost_and_every_sentence_has_its_own_noise() -> None:
    model = Scripted(speech(diagonal()))
    text = "First one. Second one; third one: the rest."
    said = list(read(model, text, seed=1))
    assert " ".join(one.text for one in said) == text
    assert model.texts == [one.text for one in said]
    assert len(set(model.seeds)) == len(said) == 4
