"""Commands between toolkits: import, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wavewright.cli.options import (
    print_line,
)


class ExportFormat(StrEnum):
    """Program that an export is written for."""

    onnx = "onnx"
    sherpa_onnx = "sherpa-onnx"
    parallel_wavegan = "parallel-wavegan"


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="A run or step folder, or a .safetensors file."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The file to write; a folder for parallel-wavegan.")
    ],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="onnx runs in ONNX Runtime, sherpa-onnx in sherpa-onnx, parallel-wavegan in "
            "ParallelWaveGAN and ESPnet.",
        ),
    ] = ExportFormat.onnx,
    espnet_config: Annotated[
        Path | None,
        typer.Option(
            "--espnet-config",
            metavar="CONFIG",
            help="With parallel-wavegan: config.yaml of the ESPnet model that will use it. Mels "
            "that it cannot follow are refused, natural logarithms are followed.",
        ),
    ] = None,
    no_log_check: Annotated[
        bool,
        typer.Option(
            "--no-log-check",
            help="With sherpa-onnx: leave out the check that refuses mels in another logarithm.",
        ),
    ] = False,
) -> None:
    """Write a vocoder as a file that other programs run, and print how to run it.

    An ONNX file holds its mel convention in its metadata, and is published only if ONNX Runtime
    and PyTorch agree.

    Examples:

        wavewright export exp/hifigan --out hifigan.onnx
        wavewright export exp/vocos --format sherpa-onnx --out vocos.onnx
        wavewright export exp/hifigan --format parallel-wavegan --espnet-config c.yaml --out dir
    """
    from wavewright.interop.exporting.export import export_file

    print_line(export_file(checkpoint, out, form=form, model=espnet_config, check=not no_log_check))


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Another toolkit's checkpoint, or its folder.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    form: Annotated[
        str,
        typer.Option("--format", help="Format, such as hifigan; auto recognizes it by its keys."),
    ] = "auto",
    mel: Annotated[
        str,
        typer.Option(metavar="PRESET", help="Preset of its mels, where its format does not say."),
    ] = "",
    statistics: Annotated[
        Path | None,
        typer.Option("--statistics", metavar="FILE", help="stats.h5, .npy or .npz of its mels."),
    ] = None,
    discriminators: Annotated[
        Path | None,
        typer.Option(
            "--discriminators",
            metavar="FILE",
            help="Its discriminators, if they are in another file.",
        ),
    ] = None,
) -> None:
    """Convert another toolkit's checkpoint into one of ours.

    HiFi-GAN, MelGAN, Multi-band MelGAN, WaveGlow, Tacotron 2, WaveNet, WaveRNN, Parallel WaveGAN,
    Vocos, BigVGAN and SpeechT5HifiGan are recognised. Nothing in the file is run, and one that does
    not fit key by key is refused.

    Examples:

        wavewright import g_02500000 --out hifigan.safetensors
        wavewright import checkpoint.pth --format wavenet --mel r9y9 --out wavenet.safetensors
    """
    from wavewright.interop.importing.convert import import_checkpoint

    summary = import_checkpoint(
        file, form, mel, out, statistics=statistics, discriminators=discriminators
    )
    print_line(str(summary))
