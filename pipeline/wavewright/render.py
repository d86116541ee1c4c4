"""One file in, one WAV out: what the commands vocode, copy and say do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavewright.audio import load_wav, save_wav
from wavewright.checkpoint import load_model, load_vocoder
from wavewright.errors import WavewrightError
from wavewright.mel import log_mel
from wavewright.registry import create_vocoder, plugins
from wavewright.vocoder import Vocoder


def vocode_file(checkpoint: Path, mel: Path, out: Path, *, seed: int) -> str:
    """Vocode a .npy of (n_mels, frames) in the checkpoint's convention; returns what it did."""
    vocoder = open_vocoder(checkpoint)
    return _write(vocoder, _read_mel(mel, vocoder), out, seed)


def copy_file(checkpoint: Path, wav: Path, out: Path, *, seed: int) -> str:
    """Resynthesise a recording; returns what it did."""
    vocoder = open_vocoder(checkpoint)
    samples, _ = load_wav(wav, vocoder.sample_rate)
    try:
        mel = log_mel(torch.from_numpy(samples), vocoder.mel)
    except WavewrightError as error:
        raise WavewrightError(f"{wav}: {error}") from error
    return _write(vocoder, mel, out, seed)


def say_file(text: str, acoustic: Path, checkpoint: Path, out: Path, *, seed: int) -> str:
    """Speak a text; returns what it did."""
    from wavewright.acoustic.model import AcousticModel

    speaker, vocoder = load_model(acoustic), open_vocoder(checkpoint)
    if not isinstance(speaker, AcousticModel):
        raise WavewrightError(f"{acoustic}: holds the vocoder '{speaker.name}', no acoustic model")
    if not vocoder.trains:  # it speaks whatever convention it is given
        settings = {**vocoder.config.model_dump(), "mel": speaker.mel}
        vocoder = create_vocoder(vocoder.name, **settings).eval()
    speaker.mel.require_equal(vocoder.mel, mine=f"{acoustic}", theirs=f"{checkpoint}")
    speech = speaker.speak(speaker.encode_text(text), seed=seed)
    note = "" if speech.stopped else " The model did not find the end and was cut off."
    return _write(vocoder, speech.mel, out, seed) + note


def open_vocoder(where: Path) -> Vocoder:
    """A trained vocoder's checkpoint, or the name of one that needs no training."""
    if where.exists() or str(where).partition(":")[0] not in plugins("vocoders"):
        return load_vocoder(where)
    vocoder = create_vocoder(str(where))
    if vocoder.trains:
        raise WavewrightError(f"'{where}' must be trained first: give a checkpoint of it")
    return vocoder.eval()


def _read_mel(path: Path, vocoder: Vocoder) -> Tensor:
    try:
        mel = np.load(path, allow_pickle=False)
    except (OSError, EOFError, MemoryError, ValueError) as error:
        raise WavewrightError(f"{path}: not a .npy file with an array of numbers") from error
    if not isinstance(mel, np.ndarray):
        raise WavewrightError(f"{path}: an archive of arrays; give one .npy array")
    bands = vocoder.mel.n_mels
    if mel.ndim != 2 or mel.shape[0] != bands or mel.shape[1] == 0:
        turned = " It looks transposed." if mel.ndim == 2 and mel.shape[1] == bands else ""
        raise WavewrightError(
            f"{path}: expected a mel of shape ({bands}, frames), found {mel.shape}.{turned}"
        )
    if not np.issubdtype(mel.dtype, np.floating) or not np.isfinite(mel).all():
        raise WavewrightError(f"{path}: a mel must hold finite floating-point numbers")
    return torch.from_numpy(mel.astype(np.float32))


def _write(vocoder: Vocoder, mel: Tensor, out: Path, seed: int) -> str:
    started = time.perf_counter()
    wav = vocoder.generate(mel[None], seed=seed)[0].cpu().numpy()
    spent = time.perf_counter() - started
    save_wav(out, wav, vocoder.sample_rate)
    seconds = len(wav) / vocoder.sample_rate
    return f"{out}: {seconds:.2f} s of speech in {spent:.2f} s ({vocoder.name})"
