"""Reliable text-to-mel synthesis: sentence by sentence, with retries where attention fails.

An attention-based acoustic model sometimes skips words, loses its place, or misses the end. All
three show in the alignment; another draw of the prenet's dropout usually fixes the sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wavewright.errors import WavewrightError
from wavewright.models.acoustic import AcousticModel, AcousticOutput, utterance_seed
from wavewright.text.symbols import find_symbol, normalize_text, shorten, unknown_symbols
from wavewright.text.verbalisation.english import TextRules, verbalize
from wavewright.text.verbalisation.sentences import split_sentences

TRIES = 4
BATCH_SIZE = 16
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class SentenceResult:
    """Best synthesis of one sentence.

    Attributes:
        text: the sentence.
        output: mel and alignment of the best try.
        tries: tries made.
        failure: what is still wrong with the alignment; empty if nothing is.
    """

    text: str
    output: AcousticOutput
    tries: int
    failure: str


def synthesis_failure(output: AcousticOutput) -> str:
    """Description of what went wrong, by alignment and stop gate; empty if nothing did."""
    if not output.stopped:
        return "did not find the end and was cut off"
    return output.scores.alignment_failure


def synthesize_sentence(
    model: AcousticModel,
    text: str,
    *,
    seed: int,
    tries: int = TRIES,
    max_seconds: float | None = None,
    speaker: str = "",
) -> SentenceResult:
    """Synthesize one sentence; retry with other noise if its attention fails.

    Args:
        model: in eval mode.
        text: in words, as `verbalize` returns it.
        seed: seed of the first try; later tries derive theirs from it.
        tries: upper limit of tries. The first good one is returned, else the best.
        max_seconds: see `AcousticModel.generate`.
        speaker: see `AcousticModel.generate`.

    Raises:
        WavewrightError: empty text, unknown symbols or unknown speaker.
    """
    return synthesize_sentences(
        model, [text], seeds=[seed], tries=tries, max_seconds=max_seconds, speaker=speaker
    )[0]


def synthesize_sentences(
    model: AcousticModel,
    texts: Sequence[str],
    *,
    seeds: Sequence[int],
    tries: int = TRIES,
    max_seconds: float | None = None,
    speaker: str = "",
) -> list[SentenceResult]:
    """Synthesize a batch of sentences, each with its own seed; retry only those that fail."""
    if tries < 1:
        raise WavewrightError(f"tries is {tries}; at least 1 is needed")
    numbers = [model.encode_text(text) for text in texts]
    best: dict[int, SentenceResult] = {}
    pending = [*range(len(texts))]
    for attempt in range(1, tries + 1):
        outputs = model.generate_batch(
            [numbers[i] for i in pending],
            seeds=[seeds[i] if attempt == 1 else _retry_seed(seeds[i], attempt) for i in pending],
            max_seconds=max_seconds,
            speakers=[speaker] * len(pending),
        )
        for i, output in zip(pending, outputs, strict=True):
            result = SentenceResult(texts[i], output, attempt, synthesis_failure(output))
            if i not in best or _quality(result) > _quality(best[i]):
                best[i] = result
        pending = [i for i in pending if best[i].failure]
        if not pending:
            break
    for i in pending:
        best[i] = replace(best[i], tries=tries)
        failed = (shorten(texts[i]), best[i].failure, tries)
        log.warning("%s: the acoustic model %s, in each of %d tries", *failed)
    return [best[i] for i in range(len(texts))]


def _retry_seed(seed: int, attempt: int) -> int:
    return utterance_seed(seed, f"try {attempt}")


def _quality(result: SentenceResult) -> tuple[bool, bool, float]:
    """Sort key of results; higher is better."""
    scores = result.output.scores
    return not result.failure, result.output.stopped, scores.coverage * scores.order


def default_text_rules(model: AcousticModel) -> TextRules:
    """Text rules for a model: English, unless it reads another language's phonemes.

    espeak-ng reads numbers in every language, but years and money in none; the rules run first.
    """
    language = model.language.partition("-")[0]
    return "english" if language in ("", "en", "arpabet") else "plain"


def require_readable(model: AcousticModel, text: str, rules: TextRules, where: str = "") -> None:
    """Raise if a free text cannot be encoded, before any time is spent on synthesis.

    Args:
        model: the model that is to synthesize it.
        text: free text, before `verbalize`.
        rules: see `verbalize`.
        where: prefix of the message, such as a file and line.

    Raises:
        WavewrightError: names the position of the first symbol that the model does not know.
    """
    words = verbalize(text, rules)
    try:
        model.encode_text(words)
    except WavewrightError as error:
        unknown = [] if model.language else unknown_symbols(normalize_text(words), model.symbols)
        position = find_symbol(unknown, text)
        at = "" if position is None else f"character {position + 1}"
        start = ", ".join(filter(None, [where, at]))
        raise WavewrightError(f"{start}: {error}" if start else str(error)) from error


def synthesize_text(
    model: AcousticModel,
    text: str,
    *,
    seed: int,
    tries: int = TRIES,
    rules: TextRules = "english",
    speaker: str = "",
) -> Iterator[SentenceResult]:
    """Synthesize a free text of any length; yield each sentence as soon as it is ready.

    Args:
        model: in eval mode.
        text: free text, before `verbalize`.
        seed: seed of the first sentence; the others derive theirs from it.
        tries: see `synthesize_sentence`.
        rules: how numbers and abbreviations are read; see `verbalize`.
        speaker: see `AcousticModel.generate`.
    """
    for number, sentence in enumerate(split_sentences(verbalize(text, rules))):
        own_seed = _sentence_seed(seed, number)
        yield synthesize_sentence(model, sentence, seed=own_seed, tries=tries, speaker=speaker)


def synthesize_texts(
    model: AcousticModel,
    texts: Mapping[str, str],
    *,
    seeds: Mapping[str, int],
    tries: int = TRIES,
    rules: TextRules = "english",
    speaker: str = "",
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[str, list[SentenceResult]]]:
    """Synthesize many free texts, batching sentences of similar length.

    Args:
        model: in eval mode.
        texts: free texts by name.
        seeds: seeds by name; the result for a text depends on no other text.
        tries: see `synthesize_sentence`.
        rules: see `synthesize_text`.
        speaker: speaker of all texts.
        batch_size: sentences per batch.

    Yields:
        Each name with its sentences, the shortest texts first.
    """
    split = {name: split_sentences(verbalize(text, rules)) for name, text in texts.items()}
    for names in _groups(split, batch_size):
        order = [(name, number) for name in names for number in range(len(split[name]))]
        order.sort(key=lambda key: len(split[key[0]][key[1]]))
        results: dict[tuple[str, int], SentenceResult] = {}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            batch_results = synthesize_sentences(
                model,
                [split[name][number] for name, number in batch],
                seeds=[_sentence_seed(seeds[name], number) for name, number in batch],
                tries=tries,
                speaker=speaker,
            )
            results.update(zip(batch, batch_results, strict=True))
        for name in names:
            yield name, [results[name, number] for number in range(len(split[name]))]


def _sentence_seed(seed: int, number: int) -> int:
    return seed if number == 0 else utterance_seed(seed, f"sentence {number}")


def _groups(split: Mapping[str, Sequence[str]], size: int) -> Iterator[list[str]]:
    """Groups of names, ordered by longest sentence, of at least `size` sentences each."""
    names: list[str] = []
    for name in sorted(split, key=lambda name: max(map(len, split[name]))):
        names.append(name)
        if sum(len(split[n]) for n in names) >= size:
            yield names
            names = []
    if names:
        yield names
