"""The command that identifies a mel: doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavewright.cli.options import (
    KeyOption,
    MelPresetOption,
    print_line,
)


def doctor(
    wav: Annotated[Path | None, typer.Option("--wav", help="A recording.")] = None,
    mel: Annotated[
        Path | None, typer.Option("--mel", help="A .npy, .npz, .pt, .h5, .ark or .scp with a mel.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint that is to vocode it.")
    ] = None,
    mel_preset: MelPresetOption = "",
    key: KeyOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Identify a mel's convention, whether it fits a checkpoint, and what would mend it.

    A mel is identified best beside its recording. Exit code 1: it does not fit.

    Examples:

        wavewright doctor --mel speech.npy --wav speech.wav
        wavewright doctor --mel speech.npy --checkpoint exp/vocoder
    """
    import json

    from wavewright.doctor.examine import examine

    diagnosis = examine(
        recording=wav, mel=mel, checkpoint=checkpoint, mel_preset=mel_preset, key=key
    )
    if as_json:
        print_line(json.dumps(diagnosis.as_dict(), indent=1))
    else:
        print_line("\n".join(diagnosis.lines()))
    if diagnosis.fits is False:
        raise typer.Exit(1)
