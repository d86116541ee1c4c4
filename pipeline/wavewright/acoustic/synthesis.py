"""Reading aloud so that it can be relied on: sentence by sentence, and again where attention fails.

An attentive acoustic model now and then skips words, loses its place, or does not find the end. All
three show in the alignment; another draw of the prenet's dropout usually reads the sentence well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wavewright.errors import WavewrightError
from wavewright.models.acoustic import AcousticModel, Speech, utterance_seed
from wavewright.text.symbols import normalise_text, place_of, shorten, unknown_symbols
from wavewright.text.verbalisation.english import TextRules, verbalise
from wavewright.text.verbalisation.sentences import sentences

TRIES = 4
BATCH = 16
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class Said:
    """One sentence, as well as it could be said.

    Attributes:
        text: the sentence.
        speech: mel and alignment of the best try.
        tries: how many it took.
        problem: what is still wrong with it; empty if nothing is.
    """

    text: str
    speech: Speech
    tries: int
    problem: str


def problem(speech: Speech) -> str:
    """What the alignment says went wrong; empty if nothing did."""
    return speech.scores.doubt if speech.stopped else "did not find the end and was cut off"


def say(
    model: AcousticModel,
    text: str,
    *,
    seed: int,
    tries: int = TRIES,
    max_seconds: float | None = None,
    speaker: str = "",
) -> Said:
    """Say one text freely; where attention fails, again with other noise.

    Args:
        model: in eval mode.
        text: in words, as `verbalise` gives it.
        seed: of the first try; the others' seeds follow from it.
        tries: at most so many. The first that goes well is taken, or else the best.
        max_seconds: see `AcousticModel.speak`.
        speaker: see `AcousticModel.speak`.

    Raises:
        WavewrightError: the text is empty, or has symbols that the model does not know, or
            a speaker is not known.
    """
    return say_all(
        model, [text], seeds=[seed], tries=tries, max_seconds=max_seconds, speaker=speaker
    )[0]


def say_all(
    model: AcousticModel,
    texts: Sequence[str],
    *,
    seeds: Sequence[int],
    tries: int = TRIES,
    max_seconds: float | None = None,
    speaker: str = "",
) -> list[Said]:
    """`say` for several texts at once, each with its own seed; only what fails is said again."""
    if tries < 1:
        raise WavewrightError(f"cannot speak in {tries} tries: at least one is needed")
    numbers = [model.encode_text(text) for text in texts]
    best: dict[int, Said] = {}
    waiting = [*range(len(texts))]
    for attempt in range(1, tries + 1):
        own = [seeds[i] if attempt == 1 else _again(seeds[i], attempt) for i in waiting]
        speeches = model.speak_all(
            [numbers[i] for i in waiting],
            seeds=own,
            max_seconds=max_seconds,
            speakers=[speaker] * len(waiting),
        )
        for i, speech in zip(waiting, speeches, strict=True):
            found = Said(texts[i], speech, attempt, problem(speech))
            if i not in best or _merit(found) > _merit(best[i]):
                best[i] = found
        waiting = [i for i in waiting if best[i].problem]
        if not waiting:
            break
    for i in waiting:
        best[i] = replace(best[i], tries=tries)
        failed = (shorten(texts[i]), best[i].problem, tries)
        log.warning("%s: the acoustic model %s, in each of %d tries", *failed)
    return [best[i] for i in range(len(texts))]


def _again(seed: int, attempt: int) -> int:
    return utterance_seed(seed, f"try {attempt}")


def _merit(said: Said) -> tuple[bool, bool, float]:
    """The better, the higher."""
    scores = said.speech.scores
    return not said.problem, said.speech.stopped, scores.coverage * scores.order


def rules_for(model: AcousticModel) -> TextRules:
    """English, unless the model reads another language's phonemes.

    espeak-ng reads numbers in every language, but years and money in none; the rules go first.
    """
    language = model.language.partition("-")[0]
    return "english" if language in ("", "en", "arpabet") else "plain"


def require_readable(model: AcousticModel, text: str, rules: TextRules, where: str = "") -> None:
    """Raise unless a free text can be said, before any time is spent on others.

    Args:
        model: that shall say it.
        text: as people write.
        rules: see `verbalise`.
        where: what the message starts with, such as a file and line.

    Raises:
        WavewrightError: with the place of the first symbol that the model does not know.
    """
    words = verbalise(text, rules)
    try:
        model.encode_text(words)
    except WavewrightError as error:
        unknown = [] if model.language else unknown_symbols(normalise_text(words), model.symbols)
        place = place_of(unknown, text)
        at = "" if place is None else f"character {place + 1}"
        start = ", ".join(filter(None, [where, at]))
        raise WavewrightError(f"{start}: {error}" if start else str(error)) from error


def read(
    model: AcousticModel,
    text: str,
    *,
    seed: int,
    tries: int = TRIES,
    rules: TextRules = "english",
    speaker: str = "",
) -> Iterator[Said]:
    """Say a free text of any length, sentence by sentence, as each is ready.

    Args:
        model: in eval mode.
        text: as people write.
        seed: of the first sentence; the others' seeds follow from it.
        tries: see `say`.
        rules: how numbers and abbreviations are read; see `verbalise`.
        speaker: see `AcousticModel.speak`.
    """
    for number, sentence in enumerate(sentences(verbalise(text, rules))):
        own = _sentence_seed(seed, number)
        yield say(model, sentence, seed=own, tries=tries, speaker=speaker)


def read_all(
    model: AcousticModel,
    texts: Mapping[str, str],
    *,
    seeds: Mapping[str, int],
    tries: int = TRIES,
    rules: TextRules = "english",
    speaker: str = "",
    batch_size: int = BATCH,
) -> Iterator[tuple[str, list[Said]]]:
    """`read` for many texts, sentences of like length at once.

    Args:
        model: in eval mode.
        texts: by name.
        seeds: by name; what is said depends on no other text.
        tries: see `say`.
        rules: see `read`.
        speaker: of all of them.
        batch_size: sentences that are said at once.

    Yields:
        Each name with its sentences, the shortest texts first.
    """
    cut = {name: sentences(verbalise(text, rules)) for name, text in texts.items()}
    for names in _groups(cut, batch_size):
        flat = [(name, number) for name in names for number in range(len(cut[name]))]
        flat.sort(key=lambda place: len(cut[place[0]][place[1]]))
        said: dict[tuple[str, int], Said] = {}
        for start in range(0, len(flat), batch_size):
            places = flat[start : start + batch_size]
            own = [_sentence_seed(seeds[name], number) for name, number in places]
            spoken = say_all(
                model,
                [cut[name][number] for name, number in places],
                seeds=own,
                tries=tries,
                speaker=speaker,
            )
            said.update(zip(places, spoken, strict=True))
        for name in names:
            yield name, [said[name, number] for number in range(len(cut[name]))]


def _sentence_seed(seed: int, number: int) -> int:
    return seed if number == 0 else utterance_seed(seed, f"sentence {number}")


def _groups(cut: Mapping[str, Sequence[str]], size: int) -> Iterator[list[str]]:
    """Names by the length of their longest sentence, until there are `size` sentences."""
    names: list[str] = []
    for name in sorted(cut, key=lambda name: max(map(len, cut[name]))):
        names.append(name)
        if sum(len(cut[n]) for n in names) >= size:
            yield names
            names = []
    if names:
        yield names
