"""Text-to-speech into WAV files: one text into one file, or lines into a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from wavewright.acoustic.synthesis import BATCH_SIZE
from wavewright.audio.files import save_wav
from wavewright.errors import WavewrightError
from wavewright.inference.text_lines import TextLine
from wavewright.inference.tts import TTS, describe_failures
from wavewright.inference.vocode import describe_vocoder, vocode_to_file
from wavewright.io.progress import progress
from wavewright.models.acoustic import utterance_seed

_MAX_FAULTS = 3  # faults listed in a message


def synthesize_to_file(text: str, tts: TTS, out: Path, *, seed: int) -> str:
    """Synthesize a text into one WAV file; return a summary.

    Raises:
        WavewrightError: names a symbol that the acoustic model does not know, and its position.
    """
    tts.require_readable(text)
    (_, results), *_ = tts.synthesize_texts({"": text}, seeds={"": seed})
    summary = vocode_to_file(tts.vocoder, tts.join_sentences(results), out, seed)
    return " ".join([summary, *describe_failures(results)])


def synthesize_lines(
    lines: Sequence[TextLine], tts: TTS, out: Path, *, seed: int, batch_size: int = BATCH_SIZE
) -> str:
    """Synthesize lines into `ID.wav` each; return a summary.

    The speech of a line depends on the seed and its id, and on no other line. Files are written
    atomically, one after the other, so those of an interrupted run are usable.

    Args:
        lines: lines of `read_text_lines`.
        tts: acoustic model and vocoder.
        out: output folder; it is created.
        seed: seed of all noise.
        batch_size: sentences per batch of the acoustic model.

    Raises:
        WavewrightError: some lines cannot be encoded; raised before any synthesis, with their
            positions.
    """
    _require_readable(lines, tts)
    _create(out)
    texts = {line.id: line.text for line in lines}
    seeds = {line.id: utterance_seed(seed, line.id) for line in lines}
    started, seconds = time.perf_counter(), 0.0
    failures: list[str] = []
    with progress("say", total=len(lines)) as bar:
        for name, results in tts.synthesize_texts(texts, seeds=seeds, batch_size=batch_size):
            mel = tts.join_sentences(results)
            wav = tts.vocoder.generate(mel[None], seed=seeds[name])[0].cpu().numpy()
            save_wav(out / f"{name}.wav", wav, tts.vocoder.sample_rate)
            seconds += len(wav) / tts.vocoder.sample_rate
            failures += describe_failures(results, f"{name}: ")
            bar.advance(note=name)
    elapsed = time.perf_counter() - started
    summary = (
        f"{out}: {len(lines)} files, {seconds:.2f} s of speech in {elapsed:.2f} s "
        f"({tts.acoustic.name}, {describe_vocoder(tts.vocoder)})"
    )
    return "\n".join([summary, *failures])


def _create(folder: Path) -> None:
    if folder.suffix.lower() == ".wav":
        raise WavewrightError(f"{folder}: lines become a folder of files, this names a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WavewrightError(f"{folder}: could not be made ({error.strerror})") from error


def _require_readable(lines: Sequence[TextLine], tts: TTS) -> None:
    faults = []
    for line in lines:
        try:
            tts.require_readable(line.text, line.where)
        except WavewrightError as error:
            faults.append(str(error))
    if faults:
        hidden = len(faults) - _MAX_FAULTS
        more = f" (and {hidden} more lines)" if hidden > 0 else ""
        raise WavewrightError("; ".join(faults[:_MAX_FAULTS]) + more)
