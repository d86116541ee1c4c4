"""MUSHRA test (ITU-R BS.1534) for webMUSHRA, which runs on a web server.

webMUSHRA has a licence of its own and is not part of this package; only its configuration and
sounds are written. It rejects sounds that differ in length or whose rate is not the sound
card's, more than 12 conditions and more than 12 s.
"""

from __future__ import annotations

import html
import io
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wavewright.audio.files import load_wav
from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    NATURAL,
    ListeningModel,
    ListeningOptions,
    Stimulus,
)
from wavewright.evaluation.listening.page import (
    check_names,
    draw_utterances,
    missing_remarks,
    output_folder,
)
from wavewright.evaluation.listening.plan import TITLE, NameGenerator
from wavewright.evaluation.listening.stimuli import SystemFiles, find_system_files, write_stimuli
from wavewright.io.files import write_text
from wavewright.webpage.render import format_count

RATE = 48_000  # Hz, of most sound cards
CONDITIONS = 12
SECONDS = 12.0
_BUILT_IN = 3  # conditions that webMUSHRA adds: the hidden reference and two low-pass anchors
_QUESTION = (
    "Rate how close each sound is to the reference, from 100 for no difference to 0. One of them "
    "is the reference itself."
)


class MushraKey(ListeningModel):
    """`key.json` of a webMUSHRA test: the meaning of its random names."""

    test: str
    seed: int
    sounds: dict[str, Stimulus]
    conditions: dict[str, dict[str, str]]


def export_webmushra(
    reference: Path,
    candidates: Mapping[str, Path],
    out: Path,
    options: ListeningOptions,
) -> tuple[str, ...]:
    """Write `configs/` to copy over that of webMUSHRA, and `key.json` to keep.

    Every page has the recording as reference, the candidates, the hidden reference, and
    webMUSHRA's anchors at 3.5 and 7 kHz. Arguments are those of `page.write_listening_test`.

    Returns:
        Remarks for the user.

    Raises:
        WavewrightError: too many candidates, or no utterance is short enough; see also
            `write_listening_test`.
    """
    check_names(candidates)
    if len(candidates) + _BUILT_IN > CONDITIONS:
        raise WavewrightError(
            f"{len(candidates)} candidates; webMUSHRA takes {CONDITIONS} conditions, of which "
            f"{_BUILT_IN} are the hidden reference and two anchors"
        )
    sources = find_system_files(reference, candidates)
    short = [utterance for utterance in sources.utterances if _fits(sources, utterance)]
    if not short:
        raise WavewrightError(f"{reference}: no utterance of at most {SECONDS:g} s in all systems")
    utterances, practice = draw_utterances(short, options)
    names = NameGenerator(random.Random(options.seed))
    volume = names.new_stimulus(NATURAL, practice)
    pages = {names.new_name(): _page(names, candidates, utterance) for utterance in utterances}
    test = f"wavewright-{names.new_name()}"
    with output_folder(out) as scratch:
        folder = f"configs/resources/{test}"
        written, level = write_stimuli(
            sources, names.sounds, scratch / folder, RATE, seed=options.seed
        )
        config = _config(test, folder, volume, pages, options)
        write_text(scratch / "configs" / f"{test}.yaml", _yaml(config))
        key = MushraKey(
            test=test,
            seed=options.seed,
            sounds=written,
            conditions={
                page: {name: names.sounds[name].system for name in stimuli}
                for page, (_, stimuli) in pages.items()
            },
        )
        write_text(scratch / "key.json", key.model_dump_json(indent=1) + "\n")
    long = len(sources.utterances) - len(short)
    return (*missing_remarks(sources), *_remarks(out, test, long, len(pages), level))


def _fits(sources: SystemFiles, utterance: str) -> bool:
    for files in sources.files.values():
        wav, rate = load_wav(files[utterance])
        if len(wav) > SECONDS * rate:
            return False
    return True


def _page(names: NameGenerator, candidates: Iterable[str], utterance: str) -> tuple[str, list[str]]:
    reference = names.new_stimulus(NATURAL, utterance)
    return reference, sorted(names.new_stimulus(system, utterance) for system in candidates)


def _config(
    test: str,
    folder: str,
    volume: str,
    pages: Mapping[str, tuple[str, list[str]]],
    options: ListeningOptions,
) -> dict[str, Any]:
    question = html.escape(options.question or _QUESTION)
    comparisons = [
        _comparison(page, question, folder, *sounds) for page, sounds in sorted(pages.items())
    ]
    first = {
        "type": "volume",
        "id": "volume",
        "name": "Set the volume",
        "content": "Set your volume so that this is as loud as somebody who talks to you, and "
        "leave it there.",
        "stimulus": f"{folder}/{volume}.wav",
        "defaultVolume": 0.5,
    }
    last = {
        "type": "finish",
        "name": "Thank you",
        "content": "Your ratings will be sent with the button below.",
        "showResults": False,
        "writeResults": True,
    }
    return {
        "testname": html.escape(options.title or TITLE),
        "testId": test,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [first, ["random", *comparisons], last],
    }


def _comparison(
    page: str, question: str, folder: str, reference: str, stimuli: list[str]
) -> dict[str, Any]:
    return {
        "type": "mushra",
        "id": page,
        "name": "Compare",
        "content": question,
        "showWaveform": False,
        "enableLooping": True,
        "randomize": True,
        "showConditionNames": False,
        "strict": True,
        "reference": f"{folder}/{reference}.wav",
        "createAnchor35": True,
        "createAnchor70": True,
        "stimuli": {name: f"{folder}/{name}.wav" for name in stimuli},
    }


def _yaml(config: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    text = io.StringIO()
    yaml.dump(config, text)
    return text.getvalue()


def _remarks(out: Path, test: str, long: int, pages: int, level: float) -> Iterator[str]:
    if long:
        yield f"left out {format_count(long, 'utterance')} of more than {SECONDS:g} s"
    yield f"{format_count(pages, 'page')} at {RATE} Hz and {level:.1f} dBFS"
    yield f"copy {out / 'configs'} over webMUSHRA's, then open ?config={test}.yaml on its server"
    yield f"keep to yourself: {out / 'key.json'}"
