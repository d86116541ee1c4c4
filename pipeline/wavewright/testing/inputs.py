"""Inputs and expectations that the checks of the contract share."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.mel.transform import log_mel
from wavewright.models.capabilities import require_sampler
from wavewright.models.vocoder import Vocoder

FRAMES = 12


TOLERANCE = 1e-4


STREAM_TOLERANCE = 1e-5


def example_mel(vocoder: Vocoder, *, batch: int = 2, frames: int = FRAMES) -> Tensor:
    """(batch, n_mels, frames) of noise, each item quieter, in the vocoder's own convention."""
    spec = vocoder.mel_spec
    return log_mel(noise_waves(batch, max(spec.n_fft, frames * spec.hop_length)), spec)[
        ..., :frames
    ]


def noise_waves(batch: int, samples: int) -> Tensor:
    level = 0.3 * 0.1 ** torch.arange(float(batch))
    return level[:, None] * torch.randn(
        batch, samples, generator=torch.Generator().manual_seed(0)
    ).clamp(-3, 3)


def ready(vocoder: Vocoder) -> Vocoder:
    """A copy in eval mode, so that the caller's own is not changed."""
    return copy.deepcopy(vocoder).eval()


def generate_wav(vocoder: Vocoder) -> Tensor:
    """Two seeded waveforms, of example mels or of none."""
    if vocoder.conditioning == "mel":
        return vocoder.generate(example_mel(vocoder), seed=3)
    return require_sampler(vocoder).sample(2, seed=3)


def check_wav(wav: Tensor, shape: tuple[int, int], what: str) -> None:
    expect(
        tuple(wav.shape) == shape, f"{what}: expected the shape {shape}, found {tuple(wav.shape)}"
    )
    expect(wav.dtype == torch.float32, f"{what}: expected float32, found {wav.dtype}")
    odd = int((~wav.isfinite()).sum())
    expect(not odd, f"{what}: expected finite samples, found {odd} of {wav.numel()} that are not")
    peak = float(wav.detach().abs().max())
    expect(
        peak <= 1.0,
        f"{what}: expected samples in [-1, 1], found a peak of {peak:.4g}; clamp them",
    )
    expect(
        not wav.requires_grad,
        f"{what}: expected no graph: generate without gradients, under @torch.no_grad()",
    )


def refuses(call: Callable[[], object], what: str, how: str = "") -> None:
    advice = f"; {how}" if how else ""
    try:
        call()
    except WavewrightError:
        return
    except Exception as error:
        raise AssertionError(
            f"expected {what} to be refused with a WavewrightError, found "
            f"{type(error).__name__}: {error}{advice}"
        ) from error
    raise AssertionError(
        f"expected {what} to be refused with a WavewrightError, found no error{advice}"
    )


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= TOLERANCE


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
