"""Reading aloud: sentences, failures of attention, and trying again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from wavewright.acoustic.synthesis import (
    default_text_rules,
    require_readable,
    synthesis_failure,
    synthesize_sentence,
    synthesize_sentences,
    synthesize_text,
    synthesize_texts,
)
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.acoustic import AcousticModel, AcousticOutput
from wavewright.models.config import ModelConfig
from wavewright.text.symbols import encode, normalize_text

STEPS, SYMBOLS = 40, 20


def diagonal(steps: int = STEPS, symbols: int = SYMBOLS) -> Tensor:
    """One symbol after the other, sharply."""
    places = torch.arange(steps) * symbols // steps
    return torch.nn.functional.one_hot(places, symbols).float()


def speech(alignment: Tensor, stopped: bool = True) -> AcousticOutput:
    return AcousticOutput(torch.zeros(4, len(alignment)), alignment, stopped)


class Config(ModelConfig):
    """Configuration of a scripted model."""

    mel: MelSpec = MelSpec.preset("tacotron2")


class Scripted(AcousticModel):
    """Model that returns given outputs in order, whatever the text; records texts and seeds."""

    Config = Config

    def __init__(self, *speeches: AcousticOutput) -> None:
        super().__init__(Config(), name="scripted")
        self.speeches = list(speeches)
        self.seeds: list[int] = []
        self.texts: list[str] = []
        self.batches: list[int] = []

    def encode_text(self, text: str) -> list[int]:
        self.texts.append(text)
        return [1] * len(text)

    def generate_batch(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None,
        speakers: Sequence[str] = (),
    ) -> list[AcousticOutput]:
        self.batches.append(len(texts))
        outputs = []
        for seed in seeds:
            self.seeds.append(seed)
            outputs.append(self.speeches[min(len(self.seeds), len(self.speeches)) - 1])
        return outputs


SKIPS = diagonal(symbols=10) @ torch.eye(10, SYMBOLS)  # half of the symbols are never looked at
JUMPS = diagonal()[torch.tensor([0, 30, 1, 31] * 10) + torch.arange(40) // 5]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (speech(diagonal()), ""),
        (speech(diagonal(), stopped=False), "did not find the end"),
        (speech(SKIPS), "left out 45% of its text"),
        (speech(JUMPS), "of its"),
    ],
    ids=["good", "endless", "skips", "jumps"],
)
def test_what_went_wrong_is_told(output: AcousticOutput, expected: str) -> None:
    assert expected in synthesis_failure(output)
    assert bool(synthesis_failure(output)) == bool(expected)


def test_a_good_first_try_is_taken_as_it_is() -> None:
    model = Scripted(speech(diagonal()))
    result = synthesize_sentence(model, "text", seed=5)
    assert (result.tries, result.failure, model.seeds) == (1, "", [5])


def test_after_a_failure_other_noise_is_tried() -> None:
    model = Scripted(speech(SKIPS), speech(diagonal(), stopped=False), speech(diagonal()))
    result = synthesize_sentence(model, "text", seed=5)
    assert (result.tries, result.failure) == (3, "")
    assert len(set(model.seeds)) == 3
    again = Scripted(*model.speeches)
    synthesize_sentence(again, "text", seed=5)
    assert again.seeds == model.seeds


def test_where_all_fail_the_best_is_kept_and_told(caplog: pytest.LogCaptureFixture) -> None:
    worst, best = speech(SKIPS, stopped=False), speech(SKIPS)
    result = synthesize_sentence(Scripted(worst, best, worst), "text", seed=0, tries=3)
    assert result.output is best
    assert result.failure.startswith("left out")
    assert "in each of 3 tries" in caplog.text


def test_no_word_is_lost_and_every_sentence_has_its_own_noise() -> None:
    model = Scripted(speech(diagonal()))
    text = "First one. Second one; third one: the rest."
    result = list(synthesize_text(model, text, seed=1))
    assert " ".join(one.text for one in result) == text
    assert model.texts == [one.text for one in result]
    assert len(set(model.seeds)) == len(result) == 4


def test_free_texts_are_read_in_words_unless_told_otherwise() -> None:
    model = Scripted(speech(diagonal()))
    text = "Dr. Fox paid $3.50. It was 3:30 p.m."
    result = [one.text for one in synthesize_text(model, text, seed=0)]
    assert result == ["Doctor Fox paid three dollars and fifty cents.", "It was three thirty p m."]
    result = [one.text for one in synthesize_text(model, text, seed=0, rules="plain")]
    assert result == ["Dr. Fox paid $3.50.", "It was 3:30 p.m."]


def test_of_many_texts_only_those_that_fail_are_said_again() -> None:
    good, bad = speech(diagonal()), speech(SKIPS)
    model = Scripted(good, bad, bad, good, good)
    result = synthesize_sentences(model, ["a", "b", "c"], seeds=[1, 2, 3])
    assert [one.tries for one in result] == [1, 2, 2]
    assert [one.failure for one in result] == ["", "", ""]
    assert model.batches == [3, 2]
    alone = Scripted(bad, good)
    synthesize_sentence(alone, "b", seed=2)
    assert alone.seeds == [model.seeds[1], model.seeds[3]], "the noise of a text is its own"


def test_many_texts_are_said_in_batches_of_like_length() -> None:
    model = Scripted(speech(diagonal()))
    texts = {"long": "a" * 30, "two": "b b b. c.", "short": "d", "other": "ee"}
    seeds = {name: number for number, name in enumerate(texts)}
    results_by_name = dict(synthesize_texts(model, texts, seeds=seeds, batch_size=2))
    assert {
        name: " ".join(one.text for one in result) for name, result in results_by_name.items()
    } == texts
    assert [*results_by_name] == ["short", "other", "two", "long"]
    assert max(model.batches) == 2
    alone = Scripted(speech(diagonal()))
    list(synthesize_text(alone, texts["two"], seed=seeds["two"]))
    assert set(alone.seeds) <= set(model.seeds), "what is said of a text depends on no other"


class Lettered(Scripted):
    """Reads lower-case letters."""

    symbols = ("_", *"abcdefghijklmnopqrstuvwxyz .")

    def encode_text(self, text: str) -> list[int]:
        return encode(normalize_text(text), self.symbols)


def test_what_cannot_be_read_is_named_with_its_place() -> None:
    model = Lettered()
    require_readable(model, "I have 5 dogs.", "english")
    with pytest.raises(
        WavewrightError, match=r"^a\.txt, line 3, character 8: .*'5' \(DIGIT FIVE\)"
    ):
        require_readable(model, "I have 5 dogs.", "plain", "a.txt, line 3")
    with pytest.raises(WavewrightError, match=r"^character 11: .*'\\u6f22' \(CJK"):
        require_readable(model, "5 mL caf\u00e9 \u6f22", "english")
    with pytest.raises(WavewrightError, match="cannot encode an empty text"):
        require_readable(model, " ", "english")


@pytest.mark.parametrize(
    ("language", "rules"),
    [("", "english"), ("en-us", "english"), ("en", "english"), ("de", "plain"), ("fr-fr", "plain")],
)
def test_english_rules_are_off_for_other_languages(
    monkeypatch: pytest.MonkeyPatch, language: str, rules: str
) -> None:
    monkeypatch.setattr(Scripted, "language", language)
    assert default_text_rules(Scripted()) == rules
