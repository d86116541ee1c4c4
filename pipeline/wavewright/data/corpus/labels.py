"""Speakers and texts of utterances without labels: from their ids, and by text rules."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace

from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.errors import WavewrightError
from wavewright.text.verbalisation.english import TextRules, verbalize

log = logging.getLogger("wavewright")


def find_speakers(
    utterances: Mapping[str, CorpusUtterance], default: str, pattern: str | None
) -> dict[str, str]:
    """Speakers by id: the corpus's label, else the pattern's match in the id, else the default."""
    matches = {} if pattern is None else _match_ids(utterances, pattern, "speaker_pattern")
    return {
        name: utterance.speaker or matches.get(name, default)
        for name, utterance in utterances.items()
    }


def find_texts(
    utterances: Mapping[str, CorpusUtterance], pattern: str | None
) -> dict[str, CorpusUtterance]:
    """Give utterances without text the pattern's match in their id."""
    texts = {} if pattern is None else _match_ids(utterances, pattern, "text_pattern")
    return {
        name: replace(utterance, text=texts[name], normalised=texts[name])
        if name in texts and not utterance.text
        else utterance
        for name, utterance in utterances.items()
    }


def normalize_texts(
    utterances: Mapping[str, CorpusUtterance], rules: TextRules
) -> dict[str, CorpusUtterance]:
    """Normalise all texts by `rules`, unless the corpus brings normalised texts of its own.

    One normalised text that differs from its raw text shows that the corpus has normalised all.
    """
    if rules == "plain":
        return dict(utterances)
    if any(utterance.normalised != utterance.text for utterance in utterances.values()):
        log.warning("normalised texts come with the corpus: text_rules %s changes none", rules)
        return dict(utterances)
    return {
        name: replace(utterance, normalised=verbalize(utterance.normalised, rules))
        for name, utterance in utterances.items()
    }


def _match_ids(
    utterances: Mapping[str, CorpusUtterance], pattern: str, option: str
) -> dict[str, str]:
    """Value of the pattern's group in each matching id."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise WavewrightError(f"prepare.{option} {pattern!r}: {error}") from error
    if expression.groups != 1:
        raise WavewrightError(
            f"prepare.{option} {pattern!r}: needs one group, found {expression.groups}"
        )
    matches = {name: expression.search(name) for name in utterances}
    return {name: match[1] for name, match in matches.items() if match}
