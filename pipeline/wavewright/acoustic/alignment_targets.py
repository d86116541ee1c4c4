"""Where in a text a recording is at each frame, from the word or phone times of a TextGrid."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavewright.data.shards import Shards
from wavewright.mel.spec import MelSpec
from wavewright.text.textgrid import SILENCES, Alignment, Interval, read_alignment

log = logging.getLogger("wavewright")


def targets_from_words(
    alignment: Alignment, written: Sequence[str], spec: MelSpec, frames: int
) -> npt.NDArray[np.float32] | None:
    """The symbol that is spoken at each frame, as a fractional number.

    Within a word the symbols pass at an even pace; what stands between two words (spaces,
    punctuation) takes the time between them.

    Args:
        alignment: of the same audio.
        written: the text's symbols, in order.
        spec: of the mel.
        frames: of the mel.

    Returns:
        (frames,) float32; None where text and alignment do not say the same words.
    """
    spoken = [word for word in alignment.words if word.label not in SILENCES]
    spans = _spans(written, [word.label for word in spoken])
    return _places(spoken, spans, len(written), alignment.duration, spec, frames)


def targets_from_phones(
    alignment: Alignment, written: Sequence[str], spec: MelSpec, frames: int
) -> npt.NDArray[np.float32] | None:
    """The same for the symbols of a phone text (`pronouncing.phone_text`): each has its own time.

    What stands between two phones (a comma and a space) takes the silence between them.
    """
    spoken = [phone for phone in alignment.phones if phone.label not in SILENCES]
    spans = [(i, i + 1) for i, symbol in enumerate(written) if symbol.startswith("@")]
    if len(spans) != len(spoken):
        return None
    return _places(spoken, spans, len(written), alignment.duration, spec, frames)


def _places(
    spoken: Sequence[Interval],
    spans: Sequence[tuple[int, int]],
    symbols: int,
    duration: float,
    spec: MelSpec,
    frames: int,
) -> npt.NDArray[np.float32] | None:
    """Places (frames,) by intervals and the symbols that each of them spans; None without any."""
    if not spans:
        return None
    times, alignment_targets = [0.0], [0.0]
    for interval, (start, stop) in zip(spoken, spans, strict=True):
        times += [interval.start, interval.end]
        alignment_targets += [start, stop]
    times.append(max(duration, times[-1]))
    alignment_targets.append(symbols)
    middles = (np.arange(frames) + 0.5) * spec.hop_length / spec.sample_rate
    # Symbol n passes from place n to n + 1, so its middle is at n + 0.5.
    return (np.interp(middles, times, alignment_targets) - 0.5).astype(np.float32)


def _spans(written: Sequence[str], labels: Sequence[str]) -> list[tuple[int, int]]:
    """First symbol of each spoken label, and the one after its last; empty where they differ.

    Letters are matched, so that "rifle-shot" may be two labels and "of the" one. A text of
    phonemes has other letters than its labels; there their number has to agree.
    """
    letters = [i for i, symbol in enumerate(written) if symbol.isalpha()]
    heard = ["".join(c for c in label.lower() if c.isalpha()) for label in labels]
    if all(heard) and "".join(written[i] for i in letters).lower() == "".join(heard):
        stops = np.cumsum([len(label) for label in heard])
        return [
            (letters[stop - len(label)], letters[stop - 1] + 1)
            for label, stop in zip(heard, stops, strict=True)
        ]
    words = _words(written)
    return words if len(words) == len(labels) else []


def _words(written: Sequence[str]) -> list[tuple[int, int]]:
    """First symbol and the one after the last of each word, without punctuation around it."""
    words, start = [], 0
    for end in [i for i, symbol in enumerate(written) if symbol == " "] + [len(written)]:
        sounds = [i for i in range(start, end) if written[i][0].isalpha() or written[i][0] == "@"]
        if sounds:
            words.append((sounds[0], sounds[-1] + 1))
        start = end + 1
    return words


def read_alignment_targets(
    texts: Mapping[str, Sequence[str]],
    grids: Mapping[str, Path],
    mels: Shards,
    spec: MelSpec,
    *,
    phones: bool = False,
) -> dict[str, npt.NDArray[np.float32]]:
    """`targets_from_words` or `targets_from_phones` of all utterances that have a fitting TextGrid.

    Args:
        texts: the symbols of each text, by id.
        grids: paths of TextGrids, by id; texts without one are passed over.
        mels: natural mels.
        spec: of the mels.
        phones: whether the texts are phone texts.
    """
    find = targets_from_phones if phones else targets_from_words
    alignment_targets: dict[str, npt.NDArray[np.float32]] = {}
    for utterance, written in texts.items():
        if utterance in grids:
            found = find(read_alignment(grids[utterance]), written, spec, mels.length(utterance))
            if found is not None:
                alignment_targets[utterance] = found
    what = "phone" if phones else "word"
    log.info("%s times known for %d of %d utterances", what, len(alignment_targets), len(texts))
    return alignment_targets
