"""Commands that make sound with a vocoder: vocode, copy, sample."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from wavewright.cli.options import (
    CheckpointOption,
    EngineName,
    EngineOption,
    KeyOption,
    MelPresetOption,
    OutOption,
    Precision,
    PrecisionOption,
    RefineOption,
    SeedOption,
    SpeakerOption,
    end_quietly_on_closed_pipe,
    print_line,
)
from wavewright.errors import WavewrightError


class MelLayout(StrEnum):
    """Order of a mel's axes."""

    bands_first = "bands_first"
    frames_first = "frames_first"


def vocode(
    checkpoint: CheckpointOption,
    mel: Annotated[
        Path,
        typer.Option(
            "--mel",
            help="A .npy, .npz, .pt, .h5, .ark or .scp file; - is standard input.",
            rich_help_panel="The mel",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The WAV file to write; - is standard output.")
    ],
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Synthesize while the mel arrives. Standard input is float32, little-endian, "
            "frame after frame; or arrays as numpy.save writes them, one after the other.",
        ),
    ] = False,
    mel_preset: MelPresetOption = "",
    layout: Annotated[
        MelLayout | None,
        typer.Option(
            help="Order of the axes: bands_first is (n_mels, frames); default: --mel-preset's.",
            rich_help_panel="The mel",
        ),
    ] = None,
    key: KeyOption = "",
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: SpeakerOption = "",
    refine: RefineOption = 0,
) -> None:
    """Turn a mel into a WAV file.

    The mel is in the checkpoint's convention unless --mel-preset names another; what converts
    exactly is converted, and the rest is refused.

    Examples:

        wavewright vocode --checkpoint exp/vocoder --mel a.npy --out a.wav
        wavewright vocode --checkpoint exp/vocoder --mel a.npy --out a.wav --refine 30
        wavewright vocode --checkpoint exp/vocoder --mel a.h5 --mel-preset espnet --out a.wav
        my-model | wavewright vocode --checkpoint exp/vocoder --stream --mel - --out - | aplay
    """
    from wavewright.inference.vocode import vocode_mel_file, vocode_mel_stream

    options: VocodeOptions = {
        "seed": seed,
        "mel_preset": mel_preset,
        "layout": layout,
        "key": key,
        "precision": precision,
        "engine": engine,
        "speaker": speaker,
    }
    piped = [name for name, path in (("--mel", mel), ("--out", out)) if str(path) == "-"]
    if not stream:
        if piped:
            raise WavewrightError(f"{piped[0]} - needs --stream")
        print_line(vocode_mel_file(checkpoint, mel, out, refine=refine, **options))
        return
    if refine:
        raise WavewrightError("--refine goes over the whole waveform: leave --stream out")
    source = sys.stdin.buffer if "--mel" in piped else mel
    target = sys.stdout.buffer if "--out" in piped else out
    with end_quietly_on_closed_pipe():
        summary = vocode_mel_stream(checkpoint, source, target, **options)
    print(summary, file=sys.stderr if "--out" in piped else sys.stdout, flush=True)


class VocodeOptions(TypedDict):
    """Options of `vocode`, passed on as they are."""

    seed: int
    mel_preset: str
    layout: str | None
    key: str
    precision: str
    engine: str
    speaker: str


def copy(
    checkpoint: CheckpointOption,
    wav: Annotated[Path, typer.Option("--wav", help="The recording.")],
    out: OutOption,
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: SpeakerOption = "",
    refine: RefineOption = 0,
) -> None:
    """Analyze a recording and synthesize it again: what the vocoder does to speech.

    Examples:

        wavewright copy --checkpoint griffinlim --wav speech.wav --out copy.wav
        wavewright copy --checkpoint exp/vocoder --wav speech.wav --out copy.wav --refine 30
    """
    from wavewright.inference.vocode import resynthesize_file

    print_line(
        resynthesize_file(
            checkpoint,
            wav,
            out,
            seed=seed,
            precision=precision,
            engine=engine,
            speaker=speaker,
            refine=refine,
        )
    )


def sample(
    checkpoint: CheckpointOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for 0000.wav, 0001.wav, ...")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many sounds.")] = 8,
    seed: SeedOption = 0,
    label: Annotated[
        str, typer.Option(help="Class of the sounds, where the vocoder knows some.")
    ] = "",
    truncation: Annotated[
        float,
        typer.Option(help="Largest number of a latent vector, up to 1: less is more typical."),
    ] = 1.0,
    interpolate: Annotated[
        bool,
        typer.Option("--interpolate", help="Go from the seed's first sound to the second."),
    ] = False,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
) -> None:
    """Draw sounds from WaveGAN, SpecGAN or an unconditional WaveNet, which take no mel.

    Examples:

        wavewright sample --checkpoint exp/wavegan --out sounds -n 20
        wavewright sample --checkpoint exp/wavegan --out between -n 9 --interpolate
    """
    from wavewright.inference.vocode import write_samples

    print_line(
        write_samples(
            checkpoint,
            out,
            count,
            seed=seed,
            precision=precision,
            engine=engine,
            label=label,
            truncation=truncation,
            interpolated=interpolate,
        )
    )
