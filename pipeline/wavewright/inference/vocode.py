"""Vocoding of files and streams, behind the commands vocode, copy and sample."""

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
from wavewright.models.autoregressive import AutoregressiveVocoder
from wavewright.models.capabilities import require_sampler
from wavewright.models.latent import LatentVocoder
from wavewright.models.streamable import require_streamable
from wavewright.models.trainable import Trainable
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder, plugins

_CHUNK_FRAMES = 32  # frames per chunk when a file is streamed


def vocode_mel_file(
    checkpoint: Path,
    mel: Path,
    out: Path,
    *,
    seed: int,
    mel_preset: str = "",
    layout: str | None = None,
    key: str = "",
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
    refine: int = 0,
) -> str:
    """Vocode a mel file into a WAV file; return a summary.

    Args:
        checkpoint: checkpoint of the vocoder, or the name of one that needs no training.
        mel: a file that `mel.files.read_mel` reads.
        out: output WAV file.
        seed: seed of all noise.
        mel_preset: preset of the mel; empty for the checkpoint's own convention.
        layout: order of the file's axes; None for that of the preset, or bands first.
        key: name of the array within the file.
        precision: arithmetic of the vocoder: float32, bf16, fp16 or int8.
        engine: loop of an autoregressive vocoder: fast or reference.
        speaker: speaker of a multi-speaker vocoder; empty for its first.
        refine: iterations of `Vocoder.refine`.

    Raises:
        MelMismatch: names the fields in which the mel cannot be converted exactly.
    """
    vocoder, spec = _load_for_mels(checkpoint, mel_preset, precision, engine, speaker)
    values = read_mel(mel, spec, layout=_layout(layout or spec.layout), key=key)
    converted = _convert(values, spec, vocoder, mel, checkpoint)
    return vocode_to_file(vocoder, converted, out, seed, speaker, refine)


def vocode_mel_stream(
    checkpoint: Path,
    mel: Path | BinaryIO,
    out: Path | BinaryIO,
    *,
    seed: int,
    mel_preset: str = "",
    layout: str | None = None,
    key: str = "",
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
) -> str:
    """Vocode a mel while it arrives, writing audio as soon as it is ready; return a summary.

    The audio equals that of `vocode_mel_file` for the whole mel. All other arguments are as there.

    Args:
        mel: a file, or an open pipe that `mel.pipe.read_mel_chunks` reads.
        out: a WAV file, which appears once it is complete; or a stream for `wav_writer`.

    Raises:
        MelMismatch: as in `vocode_mel_file`.
        WavewrightError: the vocoder cannot stream, or the pipe ends within a frame.
        BrokenPipeError: the reader of `out` is gone.
    """
    vocoder, spec = _load_for_mels(checkpoint, mel_preset, precision, engine, speaker)
    name = mel if isinstance(mel, Path) else Path("standard input")
    order = _layout(layout or spec.layout)
    _convert(np.zeros((spec.n_mels, 0), np.float32), spec, vocoder, name, checkpoint)
    if isinstance(mel, Path):
        whole = read_mel(mel, spec, layout=order, key=key)
        cuts = range(_CHUNK_FRAMES, whole.shape[1], _CHUNK_FRAMES)
        arrays = iter(np.array_split(whole, cuts, axis=1))
    else:
        arrays = read_mel_chunks(mel, spec, layout=order)
    samples, started, first = 0, 0.0, 0.0

    def mel_stream() -> Iterator[Tensor]:
        nonlocal started
        for array in arrays:
            started = started or time.perf_counter()
            yield _convert(array, spec, vocoder, name, checkpoint)[None]

    wavs = require_streamable(vocoder).stream(mel_stream(), seed=seed, speaker=speaker)
    with wav_writer(out, vocoder.sample_rate) as write:
        for wav in wavs:
            write(wav[0].cpu().numpy())
            first = first or time.perf_counter()
            samples += wav.shape[1]
    elapsed, latency = time.perf_counter() - started, first - started
    speed = f"{samples / vocoder.sample_rate:.2f} s of speech in {elapsed:.2f} s"
    where = out if isinstance(out, Path) else "standard output"
    return f"{where}: {speed}, the first of it after {latency:.2f} s ({describe_vocoder(vocoder)})"


def resynthesize_file(
    checkpoint: Path,
    wav: Path,
    out: Path,
    *,
    seed: int,
    precision: str = "float32",
    engine: str = "fast",
    speaker: str = "",
    refine: int = 0,
) -> str:
    """Resynthesize a recording (copy synthesis) into a WAV file; return a summary."""
    vocoder = open_vocoder(checkpoint, precision, engine)
    vocoder.check_speaker(speaker)
    samples, _ = load_wav(wav, vocoder.sample_rate)
    try:
        mel = log_mel(torch.from_numpy(samples), vocoder.mel_spec)
    except WavewrightError as error:
        raise WavewrightError(f"{wav}: {error}") from error
    return vocode_to_file(vocoder, mel, out, seed, speaker, refine)


def write_samples(
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
    """Write samples of a vocoder without mel conditioning as WAV files; return a summary.

    Args:
        checkpoint: checkpoint of the vocoder.
        out: folder for 0000.wav, 0001.wav, ...
        count: number of samples.
        seed: seed of all noise.
        precision: as in `vocode_mel_file`.
        engine: as in `vocode_mel_file`.
        label: class of a class-conditional model; empty draws one per sample.
        truncation: truncation of the latent distribution, in (0, 1]; 1 is none.
        interpolated: interpolate between the seed's first two latent vectors, in equal steps.

    Raises:
        WavewrightError: the vocoder needs mels, or takes no label, truncation or interpolation.
    """
    vocoder = open_vocoder(checkpoint, precision, engine)
    latent = isinstance(vocoder, LatentVocoder)
    options = {"label": label, "truncation": truncation != 1.0, "interpolate": interpolated}
    if not latent and any(options.values()):
        first = next(name for name, value in options.items() if value)
        raise WavewrightError(f"'{vocoder.name}' has no latent vector: leave --{first} out")
    started = time.perf_counter()
    if isinstance(vocoder, LatentVocoder):
        vocoder.label = label
        if interpolated:
            wavs = vocoder.interpolate(count, seed=seed)
        else:
            wavs = vocoder.sample(count, seed=seed, truncation=truncation)
    else:
        wavs = require_sampler(vocoder).sample(count, seed=seed)
    elapsed = time.perf_counter() - started
    out.mkdir(parents=True, exist_ok=True)
    for number, wav in enumerate(wavs.float().cpu().numpy()):
        save_wav(out / f"{number:04d}.wav", wav, vocoder.sample_rate)
    seconds = wavs.numel() / vocoder.sample_rate
    return f"{out}: {count} sounds, {seconds:.2f} s in {elapsed:.2f} s ({vocoder.name})"


def _load_for_mels(
    checkpoint: Path, mel_preset: str, precision: str, engine: str, speaker: str
) -> tuple[Vocoder, MelSpec]:
    """Load a vocoder; return it with the convention of its input mels."""
    vocoder = open_vocoder(checkpoint, precision, engine)
    vocoder.check_speaker(speaker)
    spec = MelSpec.preset(mel_preset) if mel_preset else vocoder.mel_spec
    return match_mel_spec(vocoder, spec), spec


def _convert(mel: Floats, spec: MelSpec, vocoder: Vocoder, where: Path, checkpoint: Path) -> Tensor:
    """Convert a mel to the vocoder's convention, (n_mels, frames)."""
    try:
        return convert_mel(torch.from_numpy(mel), spec.bands_first, vocoder.mel_spec.bands_first)
    except MelMismatch as error:
        raise MelMismatch(
            f"{where}: {error} To identify the mel's convention: wavewright doctor --mel {where} "
            f"--checkpoint {checkpoint}"
        ) from error


def match_mel_spec(vocoder: Vocoder, spec: MelSpec) -> Vocoder:
    """Rebuild an untrained vocoder, such as Griffin-Lim, for a spec; return others unchanged."""
    if isinstance(vocoder, Trainable) or vocoder.mel_spec == spec.bands_first:
        return vocoder
    return create_vocoder(vocoder.name, **{**vocoder.config.model_dump(), "mel": spec}).eval()


def open_vocoder(where: Path, precision: str = "float32", engine: str = "fast") -> Vocoder:
    """Load a vocoder for inference, from a checkpoint or by a name that needs no training."""
    if where.exists() or str(where).partition(":")[0] not in plugins("vocoders"):
        return optimize_for_inference(load_vocoder(where), precision, engine)
    vocoder = create_vocoder(str(where))
    if isinstance(vocoder, Trainable):
        raise WavewrightError(f"'{where}' must be trained first: give a checkpoint of it")
    return vocoder.eval()


def _layout(name: str) -> Layout:
    return "frames_first" if name == "frames_first" else "bands_first"


def vocode_to_file(
    vocoder: Vocoder, mel: Tensor, out: Path, seed: int, speaker: str = "", refine: int = 0
) -> str:
    """Vocode one mel (n_mels, frames) into a WAV file; return a summary."""
    started = time.perf_counter()
    wav = vocoder.generate(mel[None], seed=seed, speaker=speaker, refine=refine)[0].cpu().numpy()
    elapsed = time.perf_counter() - started
    save_wav(out, wav, vocoder.sample_rate)
    seconds = len(wav) / vocoder.sample_rate
    how = describe_vocoder(vocoder) + (f", refined {refine} times" if refine else "")
    return f"{out}: {seconds:.2f} s of speech in {elapsed:.2f} s ({how})"


def describe_vocoder(vocoder: Vocoder) -> str:
    """Name of a vocoder, with the engine of an autoregressive one."""
    engine = f": {vocoder.engine_description}" if isinstance(vocoder, AutoregressiveVocoder) else ""
    return vocoder.name + engine
