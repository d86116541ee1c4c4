"""Texts to WAV files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from wavewright.acoustic.synthesis import BATCH
from wavewright.audio.files import save_wav
from wavewright.errors import WavewrightError
from wavewright.inference.text_lines import Line
from wavewright.inference.tts import Voice, problems_of
from wavewright.inference.vocode import how_it_speaks, write_speech
from wavewright.io.progress import progress
from wavewright.models.acoustic import utterance_seed

_NAMED = 3  # faults that a message tells


def say_file(text: str, voice: Voice, out: Path, *, seed: int) -> str:
    """Speak a text into one WAV file; returns what it did.

    Raises:
        WavewrightError: a symbol that the acoustic model does not know, with its place.
    """
    voice.require_readable(text)
    (_, said), *_ = voice.read_all({"": text}, seeds={"": seed})
    done = write_speech(voice.vocoder, voice.joined(said), out, seed)
    return " ".join([done, *problems_of(said)])


def say_lines(
    lines: Sequence[Line], voice: Voice, out: Path, *, seed: int, batch_size: int = BATCH
) -> str:
    """Speak lines into `ID.wav` each; returns what it did.

    What is said of a line depends on the seed and its id, and on no other line. Files are written
    whole, one after the other, so that those of an interrupted run can be used.

    Args:
        lines: from `lines_of`.
        voice: what speaks.
        out: folder; it is made.
        seed: of all noise.
        batch_size: sentences that the acoustic model says at once.

    Raises:
        WavewrightError: before anything is spoken, lines that cannot be, with their places.
    """
    _require_readable(lines, voice)
    _make(out)
    texts = {line.id: line.text for line in lines}
    seeds = {line.id: utterance_seed(seed, line.id) for line in lines}
    started, seconds = time.perf_counter(), 0.0
    problems: list[str] = []
    with progress("say", total=len(lines)) as bar:
        for name, said in voice.read_all(texts, seeds=seeds, batch_size=batch_size):
            mel = voice.joined(said)
            wav = voice.vocoder.generate(mel[None], seed=seeds[name])[0].cpu().numpy()
            save_wav(out / f"{name}.wav", wav, voice.vocoder.sample_rate)
            seconds += len(wav) / voice.vocoder.sample_rate
            problems += problems_of(said, f"{name}: ")
            bar.advance(note=name)
    spent = time.perf_counter() - started
    done = (
        f"{out}: {len(lines)} files, {seconds:.2f} s of speech in {spent:.2f} s "
        f"({voice.acoustic.name}, {how_it_speaks(voice.vocoder)})"
    )
    return "\n".join([done, *problems])


def _make(folder: Path) -> None:
    if folder.suffix.lower() == ".wav":
        raise WavewrightError(f"{folder}: lines become a folder of files, this names a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WavewrightError(f"{folder}: could not be made ({error.strerror})") from error


def _require_readable(lines: Sequence[Line], voice: Voice) -> None:
    faults = []
    for line in lines:
        try:
            voice.require_readable(line.text, line.where)
        except WavewrightError as error:
            faults.append(str(error))
    if faults:
        more = f" (and {len(faults) - _NAMED} more lines)" if len(faults) > _NAMED else ""
        raise WavewrightError("; ".join(faults[:_NAMED]) + more)
