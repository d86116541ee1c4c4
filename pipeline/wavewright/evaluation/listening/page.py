"""The page that listeners get, and the making of a whole test around it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from markupsafe import Markup

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import ANCHOR, NATURAL, Key, Kind, Options
from wavewright.evaluation.listening.plan import plan_test
from wavewright.evaluation.listening.stimuli import Sources, find_sources, write_sounds
from wavewright.io.files import write_text
from wavewright.webpage.render import count, render

_HERE = Path(__file__).parent
_MAIL = 25_000_000  # bytes that most mail servers take
_DECIDING = 6.0  # seconds per trial besides listening


def make_test(
    kind: Kind,
    reference: Path,
    candidates: Mapping[str, Path],
    out: Path,
    options: Options,
    *,
    single_file: bool = False,
) -> tuple[str, ...]:
    """Write a listening test: `listeners/` to pass on, and `key.json` to keep.

    Args:
        kind: mos, ab or abx.
        reference: folder of recordings, ID.wav or ID.flac.
        candidates: folders of systems by name, with the same ids.
        out: a folder that does not exist yet, or is empty.
        options: how many utterances, the seed and the words.
        single_file: sounds go into the page, as FLAC, instead of into a folder beside it.

    Returns:
        Sentences for the user.

    Raises:
        WavewrightError: names or folders are not usable; see `find_sources`.
    """
    check_names(candidates)
    sources = find_sources(reference, candidates)
    seed = options.seed
    chosen, practice = choose(sources.utterances, options)
    key = plan_test(kind, list(candidates), chosen, practice, options)
    with appearing(out) as scratch:
        sounds = scratch / "listeners" / "sounds"
        rate = sources.sample_rate({*chosen, practice})
        written, level = write_sounds(sources, key.sounds, sounds, rate, seed=seed)
        key = _identified(
            key.model_copy(update={"sounds": written, "sample_rate": rate, "level": level})
        )
        page = page_of(key, sounds, single_file=single_file)
        if single_file:
            shutil.rmtree(sounds)
        write_text(scratch / "listeners" / "index.html", page)
        write_text(scratch / "key.json", key.model_dump_json(indent=1) + "\n")
    return (*left_out(sources), *_remarks(key, out, len(page)))


def named_folders(candidates: Iterable[str]) -> dict[str, Path]:
    """Folders by name of the `NAME=DIR` of the command line."""
    folders: dict[str, Path] = {}
    for candidate in candidates:
        name, equals, folder = candidate.partition("=")
        if not equals or not folder or name in folders:
            raise WavewrightError(
                f"--candidate {candidate}: expected NAME=DIR, with another NAME for each"
            )
        folders[name] = Path(folder)
    return folders


def check_names(candidates: Mapping[str, Path]) -> None:
    """Refuse names of candidates that mean something else."""
    for name in candidates:
        if name in (NATURAL, ANCHOR) or not name.strip() or not name.isprintable():
            raise WavewrightError(
                f"candidate '{name}': not usable as a name; '{NATURAL}' and '{ANCHOR}' are taken"
            )


def choose(known: list[str], options: Options) -> tuple[list[str], str]:
    """Utterances drawn for a test, and one for practice that is not among them where possible."""
    wanted = min(len(known), options.utterances + 1)
    drawn = random.Random(options.seed).sample(known, wanted)
    return drawn[: options.utterances], drawn[-1]


def left_out(sources: Sources) -> Iterator[str]:
    """A sentence about the utterances that not every system has."""
    if sources.missing:
        first, lacking = next(iter(sources.missing.items()))
        yield (
            f"left out {count(len(sources.missing), 'utterance')} that not every candidate has, "
            f"such as '{first}' (missing: {lacking})"
        )


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A hidden folder that takes the name `out` when the block ends well."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WavewrightError(f"{out}: exists already and is not empty; name another folder")
    scratch = out.with_name(f".{out.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        yield scratch
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _identified(key: Key) -> Key:
    """With an id of the test that no other test has, nor this one made of other sounds."""
    digest = hashlib.sha256(key.model_dump_json().encode()).hexdigest()[:16]
    return key.model_copy(update={"test": key.test.model_copy(update={"id": digest})})


def page_of(key: Key, sounds: Path, *, single_file: bool) -> str:
    """The HTML of a test whose sounds lie in a folder."""
    from wavewright._version import __version__

    places = {name: f"sounds/{name}.wav" for name in sorted(key.sounds)}
    if single_file:
        places = {name: _embedded(sounds / f"{name}.wav") for name in places}
    data = {"test": key.test.model_dump(mode="json"), "sounds": places}
    page = {
        "title": key.test.title,
        "version": __version__,
        "test": key.test,
        "minutes": _minutes(key, sounds),
        # Nothing in JSON can end the script element once no < is left.
        "data": Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
    }
    return render(
        "listening.html.j2",
        page,
        folder=_HERE,
        style=("listening.css",),
        script=("listening.js",),
        media="data:" if single_file else "'self' file:",
    )


def _embedded(path: Path) -> str:
    from wavewright.audio.files import load_wav, to_pcm16
    from wavewright.webpage.sound import flac

    wav, rate = load_wav(path)
    return flac(to_pcm16(wav), rate)


def _minutes(key: Key, sounds: Path) -> int:
    """How long the test takes, about."""
    spoken = 0.0
    for trial in key.test.trials:
        heard = len(trial.stimuli) + bool(trial.references)
        size = (sounds / f"{trial.stimuli[0]}.wav").stat().st_size
        spoken += heard * size / (2 * key.sample_rate) + _DECIDING
    return max(1, round(spoken / 60))


def _remarks(key: Key, out: Path, page: int) -> Iterator[str]:
    if key.level < -26.01:
        yield f"all sounds lowered to {key.level:.1f} dBFS, so that none clips"
    if page > _MAIL:
        yield f"the page has {page / 1e6:.0f} MB, more than most mail takes; without "
        "--single-file the sounds lie beside it"
    trials = count(len(key.test.trials), "trial")
    yield f"{trials}, of which {len(key.checks)} check attention, at {key.sample_rate} Hz"
    yield f"give to listeners: {out / 'listeners'}"
    yield f"keep to yourself: {out / 'key.json'}"
