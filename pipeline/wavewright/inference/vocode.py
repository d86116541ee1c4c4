"""One file in, one WAV out: what the commands vocode, copy and sample do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from wavewright.audio.files import load_wav, save_wav, wav_writer
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.optimize import optimize_for_inference
from wavewright.mel.files import Floats, Layout, read_mel
from wavewright.mel.pipe import read_mel_chunks
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.autoregressive import SequentialVocoder
from wavewright.models.latent import LatentVocoder
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder, plugins

_CHUNK = 32  # frames of a file that a stream is given at a time


def vocode_file(
    checkpoint: Path,
    mel: Path,
    out: Path,
    *,
    seed: int,
    like: str = "",
    layout: str | None = None,
    key: str = "",
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
) -> str:
    """Vocode a mel from a file; returns what it did.

    Args:
        checkpoint: of the vocoder, or the name of one that needs none.
        mel: a file that `melfile.read_mel` reads.
        out: the WAV file to write.
        seed: of all noise.
        like: the preset that the mel is in; empty for the checkpoint's own convention.
        layout: order of the axes in the file; None for that of the preset, or bands first.
        key: which array of the file.
        precision: of the vocoder's arithmetic: float32, bf16, or int8.
        engine: of one that makes one sample after the other: fast or reference.
        speaker: of one that tells speakers apart; empty for its first.

    Raises:
        MelMismatch: what is not exact in turning the mel into the checkpoint's convention.
    """
    vocoder, spec = _vocoder_for(checkpoint, like, precision, engine, speaker)
    values = read_mel(mel, spec, layout=_layout(layout or spec.layout), key=key)
    return write_speech(vocoder, _converted(values, spec, vocoder, mel, checkpoint), out, seed)


def stream_file(
    checkpoint: Path,
    mel: Path | BinaryIO,
    out: Path | BinaryIO,
    *,
    seed: int,
    like: str = "",
    layout: str | None = None,
    key: str = "",
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
) -> str:
    """Vocode a mel while it arrives, and write sound as soon as there is some.

    What is written is what `vocode_file` writes of the whole mel.

    Args:
        mel: a file, or an open pipe that `melstream.mel_chunks` reads.
        out: a WAV file, which appears once it is whole; or what `audio.wav_writer` writes to piece
            by piece.

    The others are as in `vocode_file`. Returns what it did.

    Raises:
        WavewrightError: as there; the vocoder does not stream; or the pipe ends within a frame.
        BrokenPipeError: nobody reads `out` any more.
    """
    vocoder, spec = _vocoder_for(checkpoint, like, precision, engine, speaker)
    name = mel if isinstance(mel, Path) else Path("standard input")
    order = _layout(layout or spec.layout)
    _converted(np.zeros((spec.n_mels, 0), np.float32), spec, vocoder, name, checkpoint)
    if isinstance(mel, Path):
        whole = read_mel(mel, spec, layout=order, key=key)
        arrays = iter(np.array_split(whole, range(_CHUNK, whole.shape[1], _CHUNK), axis=1))
    else:
        arrays = read_mel_chunks(mel, spec, layout=order)
    samples, started, first = 0, 0.0, 0.0

    def arriving() -> Iterator[Tensor]:
        nonlocal started
        for array in arrays:
            started = started or time.perf_counter()
            yield _converted(array, spec, vocoder, name, checkpoint)[None]

    pieces = vocoder.stream(arriving(), seed=seed)
    with wav_writer(out, vocoder.sample_rate) as write:
        for piece in pieces:
            write(piece[0].cpu().numpy())
            first = first or time.perf_counter()
            samples += piece.shape[1]
    spent, waited = time.perf_counter() - started, first - started
    told = f"{samples / vocoder.sample_rate:.2f} s of speech in {spent:.2f} s"
    where = out if isinstance(out, Path) else "standard output"
    return f"{where}: {told}, the first of it after {waited:.2f} s ({how_it_speaks(vocoder)})"


def copy_file(
    checkpoint: Path,
    wav: Path,
    out: Path,
    *,
    seed: int,
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
) -> str:
    """Resynthesise a recording; returns what it did."""
    vocoder = open_vocoder(checkpoint, precision, engine)
    if speaker:
        vocoder.speaker = speaker
    samples, _ = load_wav(wav, vocoder.sample_rate)
    try:
        mel = log_mel(torch.from_numpy(samples), vocoder.mel)
    except WavewrightError as error:
        raise WavewrightError(f"{wav}: {error}") from error
    return write_speech(vocoder, mel, out, seed)


def sample_files(
    checkpoint: Path,
    out: Path,
    count: int,
    *,
    seed: int,
    precision: str = "float32",
    engine: str = "fast",
    label: str = "",
    truncation: float = 1.0,
    interpolated: bool = False,
) -> str:
    """Let a vocoder that no mel drives make sounds; returns what it did.

    Args:
        checkpoint: of the vocoder.
        out: folder for 0000.wav, 0001.wav, ...
        count: how many.
        seed: of all noise.
        precision: as in `vocode_file`.
        engine: as in `vocode_file`.
        label: the class, of one that knows some; empty draws one for each sound.
        truncation: how far from its mean a latent vector may lie, up to 1.
        interpolated: from the first sound of the seed to the second, in equal steps.

    Raises:
        WavewrightError: it is driven by mels, or takes no label, truncation or interpolation.
    """
    vocoder = open_vocoder(checkpoint, precision, engine)
    latent = isinstance(vocoder, LatentVocoder)
    asked = {"label": label, "truncation": truncation != 1.0, "interpolate": interpolated}
    if not latent and any(asked.values()):
        first = next(name for name, value in asked.items() if value)
        raise WavewrightError(
            f"'{vocoder.name}' is driven by no latent vector: leave --{first} out"
        )
    started = time.perf_counter()
    if isinstance(vocoder, LatentVocoder):
        vocoder.label = label
        if interpolated:
            wavs = vocoder.interpolate(count, seed=seed)
        else:
            wavs = vocoder.sample(count, seed=seed, truncation=truncation)
    else:
        wavs = vocoder.sample(count, seed=seed)
    spent = time.perf_counter() - started
    out.mkdir(parents=True, exist_ok=True)
    for number, wav in enumerate(wavs.float().cpu().numpy()):
        save_wav(out / f"{number:04d}.wav", wav, vocoder.sample_rate)
    seconds = wavs.numel() / vocoder.sample_rate
    return f"{out}: {count} sounds, {seconds:.2f} s in {spent:.2f} s ({vocoder.name})"


def _vocoder_for(
    checkpoint: Path, like: str, precision: str, engine: str, speaker: str
) -> tuple[Vocoder, MelSpec]:
    """A vocoder, and the convention of the mels that it will be given."""
    vocoder = open_vocoder(checkpoint, precision, engine)
    if speaker:
        vocoder.speaker = speaker
    spec = MelSpec.preset(like) if like else vocoder.mel
    return speaking(vocoder, spec), spec


def _converted(
    mel: Floats, spec: MelSpec, vocoder: Vocoder, where: Path, checkpoint: Path
) -> Tensor:
    """(n_mels, frames) in the vocoder's convention."""
    try:
        return convert_mel(torch.from_numpy(mel), spec.bands_first, vocoder.mel.bands_first)
    except MelMismatch as error:
        raise MelMismatch(
            f"{where}: {error} To find out whose mel it is: wavewright doctor --mel {where} "
            f"--checkpoint {checkpoint}"
        ) from error


def speaking(vocoder: Vocoder, spec: MelSpec) -> Vocoder:
    """One that needs no training speaks whatever convention it is given."""
    if vocoder.trains or vocoder.mel == spec.bands_first:
        return vocoder
    return create_vocoder(vocoder.name, **{**vocoder.config.model_dump(), "mel": spec}).eval()


def open_vocoder(where: Path, precision: str = "float32", engine: str = "fast") -> Vocoder:
    """A trained vocoder's checkpoint, made quick, or the name of one that needs no training."""
    if where.exists() or str(where).partition(":")[0] not in plugins("vocoders"):
        return optimize_for_inference(load_vocoder(where), precision, engine)
    vocoder = create_vocoder(str(where))
    if vocoder.trains:
        raise WavewrightError(f"'{where}' must be trained first: give a checkpoint of it")
    return vocoder.eval()


def _layout(name: str) -> Layout:
    return "frames_first" if name == "frames_first" else "bands_first"


def write_speech(vocoder: Vocoder, mel: Tensor, out: Path, seed: int) -> str:
    """Vocode one mel (n_mels, frames) into a WAV file; returns what it did."""
    started = time.perf_counter()
    wav = vocoder.generate(mel[None], seed=seed)[0].cpu().numpy()
    spent = time.perf_counter() - started
    save_wav(out, wav, vocoder.sample_rate)
    seconds = len(wav) / vocoder.sample_rate
    return f"{out}: {seconds:.2f} s of speech in {spent:.2f} s ({how_it_speaks(vocoder)})"


def how_it_speaks(vocoder: Vocoder) -> str:
    """Its name, and what it speaks by where there are several ways."""
    how = f": {vocoder.engine_in_use}" if isinstance(vocoder, SequentialVocoder) else ""
    return vocoder.name + how
