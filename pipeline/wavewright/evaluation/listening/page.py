"""Page of a listening test, and the folder with everything that belongs to it."""

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
from wavewright.evaluation.listening.design import (
    ANCHOR,
    NATURAL,
    ListeningKey,
    ListeningOptions,
    TestKind,
)
from wavewright.evaluation.listening.plan import plan_test
from wavewright.evaluation.listening.stimuli import SystemFiles, find_system_files, write_stimuli
from wavewright.io.files import write_text
from wavewright.webpage.render import format_count, render_page

_ASSETS = Path(__file__).parent / "assets"
_MAIL_BYTES = 25_000_000  # accepted by most mail servers
_ANSWER_SECONDS = 6.0  # per trial, after listening


def write_listening_test(
    kind: TestKind,
    reference: Path,
    candidates: Mapping[str, Path],
    out: Path,
    options: ListeningOptions,
    *,
    single_file: bool = False,
) -> tuple[str, ...]:
    """Write a listening test: `listeners/` to pass on, and `key.json` to keep.

    Args:
        kind: mos, ab or abx.
        reference: folder of recordings, ID.wav or ID.flac.
        candidates: folders of systems by name, with the same ids.
        out: a folder that does not exist yet, or is empty.
        options: number of utterances, seed and texts.
        single_file: sounds go into the page, as FLAC, instead of into a folder beside it.

    Returns:
        Remarks for the user.

    Raises:
        WavewrightError: names or folders are not usable; see `find_system_files`.
    """
    check_names(candidates)
    sources = find_system_files(reference, candidates)
    seed = options.seed
    utterances, practice = draw_utterances(sources.utterances, options)
    key = plan_test(kind, list(candidates), utterances, practice, options)
    with output_folder(out) as scratch:
        sounds = scratch / "listeners" / "sounds"
        rate = sources.sample_rate({*utterances, practice})
        written, level = write_stimuli(sources, key.sounds, sounds, rate, seed=seed)
        key = _with_id(
            key.model_copy(update={"sounds": written, "sample_rate": rate, "level": level})
        )
        page = render_test(key, sounds, single_file=single_file)
        if single_file:
            shutil.rmtree(sounds)
        write_text(scratch / "listeners" / "index.html", page)
        write_text(scratch / "key.json", key.model_dump_json(indent=1) + "\n")
    return (*missing_remarks(sources), *_remarks(key, out, len(page)))


def parse_candidates(candidates: Iterable[str]) -> dict[str, Path]:
    """Parse the `NAME=DIR` of the command line into folders by name."""
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
    """Reject names of candidates that are reserved or not printable."""
    for name in candidates:
        if name in (NATURAL, ANCHOR) or not name.strip() or not name.isprintable():
            raise WavewrightError(
                f"candidate '{name}': not usable as a name; '{NATURAL}' and '{ANCHOR}' are taken"
            )


def draw_utterances(ids: list[str], options: ListeningOptions) -> tuple[list[str], str]:
    """Draw utterances for a test, and one for practice, not among them where possible."""
    count_drawn = min(len(ids), options.utterances + 1)
    utterances = random.Random(options.seed).sample(ids, count_drawn)
    return utterances[: options.utterances], utterances[-1]


def missing_remarks(sources: SystemFiles) -> Iterator[str]:
    """Remark on the utterances that not every system has."""
    if sources.missing:
        first, lacking = next(iter(sources.missing.items()))
        yield (
            f"left out {format_count(len(sources.missing), 'utterance')} that not every candidate "
            f"has, such as '{first}' (missing: {lacking})"
        )


@contextmanager
def output_folder(out: Path) -> Iterator[Path]:
    """Hidden folder that is renamed to `out` when the block ends without an error."""
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


def _with_id(key: ListeningKey) -> ListeningKey:
    """Set the test's id to a digest of its contents, sounds included."""
    digest = hashlib.sha256(key.model_dump_json().encode()).hexdigest()[:16]
    return key.model_copy(update={"test": key.test.model_copy(update={"id": digest})})


def render_test(key: ListeningKey, sounds: Path, *, single_file: bool) -> str:
    """Render the HTML of a test whose sounds lie in a folder."""
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
    return render_page(
        "listening.html.j2",
        page,
        folder=_ASSETS,
        style=("listening.css",),
        script=("listening.js",),
        media="data:" if single_file else "'self' file:",
    )


def _embedded(path: Path) -> str:
    from wavewright.audio.files import load_wav, to_pcm16
    from wavewright.webpage.sound import flac_uri

    wav, rate = load_wav(path)
    return flac_uri(to_pcm16(wav), rate)


def _minutes(key: ListeningKey, sounds: Path) -> int:
    """Estimated duration of the test in minutes."""
    seconds = 0.0
    for trial in key.test.trials:
        plays = len(trial.stimuli) + bool(trial.references)
        size = (sounds / f"{trial.stimuli[0]}.wav").stat().st_size
        seconds += plays * size / (2 * key.sample_rate) + _ANSWER_SECONDS
    return max(1, round(seconds / 60))


def _remarks(key: ListeningKey, out: Path, page: int) -> Iterator[str]:
    if key.level < -26.01:
        yield f"all sounds lowered to {key.level:.1f} dBFS, so that none clips"
    if page > _MAIL_BYTES:
        yield f"the page has {page / 1e6:.0f} MB, more than most mail takes; without "
        "--single-file the sounds lie beside it"
    trials = format_count(len(key.test.trials), "trial")
    yield f"{trials}, of which {len(key.checks)} check attention, at {key.sample_rate} Hz"
    yield f"give to listeners: {out / 'listeners'}"
    yield f"keep to yourself: {out / 'key.json'}"
