"""Filters of the waveform around the mel: high-pass, pre-emphasis, gain.

A MelSpec lists the filters before its analysis (`wav_steps`) and those that are then applied to the
waveform that a vocoder is trained on (`target_steps`), as r9y9's WaveNet recipes do. Importing this
module loads no torch; `apply_filters` and `undo_filters` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class _Filter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HighPass(_Filter):
    """Causal linear-phase filter of `taps` coefficients; it delays by (taps - 1) / 2 samples."""

    step: Literal["highpass"] = "highpass"
    cutoff: float = Field(gt=0)
    """Hz, where the gain is one half."""
    taps: int = Field(default=255, gt=2)

    @property
    def history(self) -> int:
        """Number of earlier samples that an output sample depends on."""
        return self.taps - 1


class PreEmphasis(_Filter):
    """y[n] = x[n] - coefficient * x[n - 1]."""

    step: Literal["preemphasis"] = "preemphasis"
    coefficient: float = Field(gt=0, lt=1)

    @property
    def history(self) -> int:
        """Number of earlier samples that an output sample depends on."""
        return 1


class Gain(_Filter):
    """y = factor * x."""

    step: Literal["gain"] = "gain"
    factor: float = Field(gt=0)

    @property
    def history(self) -> int:
        """Number of earlier samples that an output sample depends on."""
        return 0


WavFilter = Annotated[HighPass | PreEmphasis | Gain, Field(discriminator="step")]


def filter_history(steps: Sequence[WavFilter]) -> int:
    """Number of earlier samples that an output sample of the filter chain depends on."""
    return sum(step.history for step in steps)


def apply_filters(wav: Tensor, steps: Sequence[WavFilter], sample_rate: int) -> Tensor:
    """Apply the filters in order, differentiably.

    Args:
        wav: (..., samples), floating-point; samples before the first count as 0.
        steps: filters, such as `wav_steps` of a MelSpec.
        sample_rate: Hz.

    Returns:
        (..., samples).
    """
    import torch
    import torch.nn.functional as F

    for step in steps:
        if isinstance(step, Gain):
            wav = wav * step.factor
        elif isinstance(step, PreEmphasis):
            wav = torch.cat([wav[..., :1], wav[..., 1:] - step.coefficient * wav[..., :-1]], -1)
        else:
            # In float64: the removed part is much larger than the quietest parts that remain.
            taps = torch.tensor(_high_pass(step, sample_rate), device=wav.device).double()
            flat = F.pad(wav.double().reshape(-1, 1, wav.shape[-1]), (step.history, 0))
            filtered = F.conv1d(flat, taps.flip(0)[None, None])
            wav = filtered.reshape(wav.shape).to(wav.dtype)
    return wav


def undo_filters(wav: Tensor, steps: Sequence[WavFilter], sample_rate: int) -> Tensor:
    """Undo the filters, last one first: from the waveform of a vocoder to speech.

    Args:
        wav: (..., samples), floating-point.
        steps: see `apply_filters`.
        sample_rate: Hz.

    Raises:
        WavewrightError: a step cannot be undone.
    """
    return InverseFilters(steps, sample_rate)(wav)


class InverseFilters:
    """Streaming inverse of a filter chain; keeps state between chunks.

    Args:
        steps: see `apply_filters`.
        sample_rate: Hz.

    Raises:
        WavewrightError: a step cannot be undone.
    """

    def __init__(self, steps: Sequence[WavFilter], sample_rate: int) -> None:
        for step in steps:
            if isinstance(step, HighPass):
                raise WavewrightError(
                    f"a high-pass filter ({step.cutoff:g} Hz) cannot be undone: it belongs into "
                    "wav_steps, not target_steps"
                )
        self.steps = [step for step in reversed(steps) if not isinstance(step, HighPass)]
        self.states: dict[int, np.ndarray] = {}

    def __call__(self, wav: Tensor) -> Tensor:
        """Process the next chunk: (..., samples) -> the same shape."""
        for number, step in enumerate(self.steps):
            if isinstance(step, Gain):
                wav = wav / step.factor
            else:
                wav = self._accumulate(number, step.coefficient, wav)
        return wav

    def _accumulate(self, number: int, coefficient: float, wav: Tensor) -> Tensor:
        import numpy as np
        import torch
        from scipy.signal import lfilter

        # Recursive, so in float64: errors would accumulate.
        values = wav.detach().cpu().double().numpy()
        state = self.states.get(number, np.zeros((*values.shape[:-1], 1)))
        values, self.states[number] = lfilter([1.0], [1.0, -coefficient], values, zi=state)
        return torch.from_numpy(values).to(wav.device, wav.dtype)


@lru_cache(maxsize=8)
def _high_pass(step: HighPass, sample_rate: int) -> tuple[float, ...]:
    from scipy.signal import firwin

    if not step.cutoff < sample_rate / 2:
        raise WavewrightError(
            f"highpass: cutoff {step.cutoff:g} Hz must be below half the sample rate, {sample_rate}"
        )
    return tuple(firwin(step.taps, step.cutoff, fs=sample_rate, pass_zero=False).tolist())
