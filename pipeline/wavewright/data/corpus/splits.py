"""Split utterances into train, dev (validation) and test, with no text in two splits."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from wavewright.data.corpus.utterances import AUDIO_SUFFIXES, CorpusUtterance, read_lines
from wavewright.data.manifest import SPLITS
from wavewright.errors import WavewrightError
from wavewright.text.symbols import normalize_text

HELD_OUT = ("test", "dev")  # in this order: a text of both is the test's
log = logging.getLogger("wavewright")


def read_split_lists(folder: str | Path) -> dict[str, list[str]]:
    """Read ids by split from `train.txt`, `dev.txt` and `test.txt`, any of which may be missing.

    One utterance per line: an id, or a path of its audio; what follows a `|` is not read, so that
    the file lists of other toolkits work as they are.
    """
    folder = Path(folder)
    lists = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if path.is_file():
            lists[split] = [_id_of(line) for _, line in read_lines(path)]
    if not lists:
        raise WavewrightError(f"{folder}: no train.txt, dev.txt or test.txt in it")
    return lists


def find_split_lists(
    corpus: Path, lists: Path | None, utterances: Mapping[str, CorpusUtterance]
) -> dict[str, list[str]]:
    """Ids by split, from the folder `lists`, the corpus's splits/ or the utterances."""
    if lists is not None:
        return read_split_lists(lists)
    if (corpus / "splits").is_dir():
        return read_split_lists(corpus / "splits")
    ids: dict[str, list[str]] = {}
    for name, utterance in utterances.items():
        if utterance.split:
            ids.setdefault(utterance.split, []).append(name)
    return ids


def _id_of(line: str) -> str:
    name = PurePosixPath(line.split("|")[0].strip()).name
    return name[: -len(PurePosixPath(name).suffix)] if name.endswith(AUDIO_SUFFIXES) else name


def split_utterances(
    texts: Mapping[str, str],
    lists: Mapping[str, Sequence[str]],
    *,
    dev: int,
    test: int,
    speakers: Mapping[str, str] | None = None,
    share_texts: bool = False,
) -> tuple[dict[str, str], dict[str, str]]:
    """Split utterances by lists if there are any, else by a hash of their ids.

    Without a list of its own, `dev` or `test` is taken out of what would be training: `dev` or
    `test` texts, those whose id has the smallest SHA-256, at most a tenth of all texts and at
    least one. Without a `train` list everything that is not held out is for training. Lists that
    leave `dev` or `test` empty (a part of the corpus is at hand) are not used, with a warning.

    Texts are compared without case and punctuation. Repeated takes of a held-out text go with it
    when the hash holds it out, and are left out when a list does.

    Args:
        texts: normalised text by id.
        lists: ids by split, as `read_split_lists` gives them.
        dev: texts to hold out for validation.
        test: texts to hold out for test.
        speakers: speaker by id; no speaker is then in two splits. The hash holds out speakers,
            those with the smallest SHA-256, until they have as many utterances, but at most a
            tenth of the remaining speakers and at least one.
        share_texts: whether a text may be in several splits, as digits and commands must be.

    Returns:
        Split by id, and why by id for those that are left out.

    Raises:
        WavewrightError: an id in two lists, a speaker in two lists though speakers are kept
            apart, or fewer than three different texts or speakers.
    """
    # Without a text, or where texts do not count, each utterance is its own.
    texts = {
        name: name.encode().hex() if share_texts or not text.strip() else text
        for name, text in texts.items()
    }
    splits = _select_listed(texts, lists)
    for split in (split for split in HELD_OUT if split in lists and not splits[split]):
        log.warning(
            "THE OFFICIAL SPLIT IS NOT USED: its %s list names none of the %d utterances at hand. "
            "They are split by a hash of their ids instead; results do not compare with others'.",
            split,
            len(texts),
        )
        lists = {}
        splits = _select_listed(texts, lists)
        break
    pool = set(splits["train"]) if "train" in lists else set(texts) - set().union(*splits.values())
    counts = {"test": test, "dev": dev}
    for split in HELD_OUT:
        if split not in lists:
            if speakers is None:
                splits[split] = _hold_out_texts(texts, pool, counts[split])
            else:
                splits[split] = _hold_out_speakers(speakers, pool, counts[split])
            pool -= set(splits[split])
    splits["train"] = sorted(pool)
    if speakers is not None:
        _require_disjoint_speakers(speakers, splits)
    return _drop_shared_texts(texts, splits, bool(lists.get("train")))


def _select_listed(
    texts: Mapping[str, str], lists: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Keep the listed ids that the corpus has, by split."""
    split_of: dict[str, str] = {}
    for split, ids in lists.items():
        for name in ids:
            if split_of.setdefault(name, split) != split:
                raise WavewrightError(
                    f"'{name}' is in the lists of {split_of[name]} and of {split}"
                )
    selected: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, split in split_of.items():
        if name in texts:
            selected[split].append(name)
    return selected


def _hold_out_texts(texts: Mapping[str, str], pool: set[str], count: int) -> list[str]:
    takes: dict[str, list[str]] = defaultdict(list)
    for name in sorted(pool):
        takes[_text_key(texts[name])].append(name)
    if len(takes) < 2:
        raise WavewrightError(
            f"{len(texts)} utterances are too few different texts for train, dev and test"
        )
    order = sorted(takes.values(), key=lambda names: min(map(_hash, names)))
    count = max(1, min(count, len(order) // 10))
    return sorted(name for names in order[:count] for name in names)


def _hold_out_speakers(speakers: Mapping[str, str], pool: set[str], count: int) -> list[str]:
    utterances: dict[str, list[str]] = defaultdict(list)
    for name in pool:
        utterances[speakers[name]].append(name)
    if len(utterances) < 2:
        raise WavewrightError(
            f"{len(utterances)} speakers are too few to keep those of train, dev and test apart"
        )
    held_out: list[str] = []
    for speaker in sorted(utterances, key=_hash)[: max(1, len(utterances) // 10)]:
        if len(held_out) < count:
            held_out += utterances[speaker]
    return sorted(held_out)


def _require_disjoint_speakers(
    speakers: Mapping[str, str], splits: Mapping[str, Sequence[str]]
) -> None:
    owner: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            other = owner.setdefault(speakers[name], split)
            if other != split:
                raise WavewrightError(
                    f"speaker '{speakers[name]}' is in the lists of {other} and of {split}, though "
                    "speakers are to be kept apart (prepare.speaker_disjoint)"
                )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _text_key(text: str) -> str:
    """Text without case and punctuation, by which takes of one text are matched."""
    return re.sub(r"[^\w]+", " ", normalize_text(text)).strip() or text


def _drop_shared_texts(
    texts: Mapping[str, str], candidates: Mapping[str, Sequence[str]], train_is_listed: bool
) -> tuple[dict[str, str], dict[str, str]]:
    splits: dict[str, str] = {}
    reasons: dict[str, str] = {}
    owner: dict[str, str] = {}
    for split in (*HELD_OUT, "train"):
        for name in sorted(candidates[split]):
            other = owner.setdefault(_text_key(texts[name]), name)
            if splits.get(other, split) == split:
                splits[name] = split
            else:
                reasons[name] = f"left out: same text as {other}, which is in {splits[other]}"
    if train_is_listed:
        for name in texts.keys() - splits.keys() - reasons.keys():
            reasons[name] = "left out: in none of the split lists"
    return splits, reasons
