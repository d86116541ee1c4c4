"""The command that speaks a text: say."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from wavewright.cli.options import (
    EngineName,
    EngineOption,
    Precision,
    PrecisionOption,
    SeedOption,
    SpeakerOption,
    end_quietly_on_closed_pipe,
    print_line,
)
from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    from wavewright.inference.tts import TTS
    from wavewright.text.verbalisation.english import TextRules


class TextRulesName(StrEnum):
    """Rules by which numbers and abbreviations are read."""

    english = "english"
    plain = "plain"


def say(
    acoustic: Annotated[Path, typer.Option("--acoustic", help="Acoustic model's checkpoint.")],
    vocoder: Annotated[Path, typer.Option("--vocoder", help="Vocoder's checkpoint.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The WAV file to write; with --file a folder; - streams to standard output.",
        ),
    ],
    text: Annotated[
        str | None, typer.Argument(help="What to say; - reads lines of standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="One utterance per line, 'text' or 'id|text'; - is stdin."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write each sentence as soon as it is ready.")
    ] = False,
    text_rules: Annotated[
        TextRulesName | None,
        typer.Option(
            help="How numbers and abbreviations are read; default: english, but plain for a model "
            "of another language's phonemes."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="With --file: sentences in one batch.")
    ] = 16,
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: SpeakerOption = "",
) -> None:
    """Synthesize a text, or every line of a file, with an acoustic model and a vocoder.

    Examples:

        wavewright say "It cost $3.50." --acoustic exp/acoustic --vocoder exp/vocoder --out a.wav
        wavewright say --file texts.txt --acoustic A --vocoder V --out wavs
        wavewright say - --stream --acoustic A --vocoder V --out - | aplay
    """
    from wavewright.inference.text_lines import STDIN, read_text_lines
    from wavewright.inference.tts import load_tts
    from wavewright.inference.tts_files import synthesize_lines, synthesize_to_file

    source = STDIN if text == "-" else file
    if (text is None) == (file is None):
        raise WavewrightError("say takes either a text or --file, a file of lines")
    live = stream or out == STDIN
    lines = read_text_lines(source) if source is not None and not live else []
    rules = cast("TextRules | None", text_rules)
    tts = load_tts(
        acoustic, vocoder, precision=precision, engine=engine, rules=rules, speaker=speaker
    )
    if live:
        _stream_to_pipe(text or "", source, tts, out, seed)
    elif source is None:
        print_line(synthesize_to_file(text or "", tts, out, seed=seed))
    else:
        print_line(synthesize_lines(lines, tts, out, seed=seed, batch_size=batch_size))


def _stream_to_pipe(text: str, source: Path | None, tts: TTS, out: Path, seed: int) -> None:
    from wavewright.audio.files import wav_writer
    from wavewright.inference.text_lines import STDIN, stream_text_lines
    from wavewright.inference.tts_stream import stream_speech

    texts = [("", text)] if source is None else stream_text_lines(source)
    piped = out == STDIN
    target, name = (sys.stdout.buffer, "standard output") if piped else (out, f"{out}")
    with end_quietly_on_closed_pipe(), wav_writer(target, tts.vocoder.sample_rate) as write:
        summary = stream_speech(texts, tts, write, seed=seed, name=name)
    print(summary, file=sys.stderr if piped else sys.stdout, flush=True)
