"""Base class of the client adapters: a vocoder driven by another program's mels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.optimize import optimize_for_inference
from wavewright.interop.log_base import require_plausible_log
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, require_convertible
from wavewright.models.vocoder import Vocoder


class ClientVocoder(nn.Module):
    """Vocoder that takes a client's mels in the client's convention.

    It stays in float32 whatever the dtype of the client's models, and follows them to their device
    only.

    Args:
        vocoder: a loaded one, or what `load_vocoder` takes; the latter is optimized for inference.
        mel: the client's convention, or the name of a preset.
        seed: seed of the vocoder's noise; None draws new noise each time.
        check: refuse mels whose values look like another logarithm
            (`log_base.require_plausible_log`).

    Raises:
        MelMismatch: the client's mels cannot be converted to the vocoder's exactly.

    Attributes:
        client: name of the client, for messages.
        pads: whether the client pads batches with 0.0, which is loud in a logarithm. Such frames
            are made silent.
        source: the client's convention.
    """

    client: ClassVar[str]
    pads: ClassVar[bool] = False

    def __init__(
        self,
        vocoder: Vocoder | str | Path,
        mel: MelSpec | str,
        *,
        seed: int | None = None,
        check: bool = True,
    ) -> None:
        super().__init__()
        self.source = MelSpec.preset(mel) if isinstance(mel, str) else mel
        loaded = (
            vocoder
            if isinstance(vocoder, Vocoder)
            else optimize_for_inference(load_vocoder(vocoder))
        )
        if loaded.conditioning != "mel":
            raise WavewrightError(f"'{loaded.name}' is not driven by mels, as {self.client} needs")
        try:
            require_convertible(self.source, loaded.mel_spec)
        except MelMismatch as error:
            raise MelMismatch(
                f"'{loaded.name}' cannot follow this {self.client} model: {error}"
            ) from error
        self.vocoder, self.seed, self.check = loaded, seed, check
        self.eval()

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms in Hz."""
        return self.vocoder.sample_rate

    @property
    def device(self) -> torch.device:
        """Device of the vocoder."""
        return self.vocoder.device

    def vocode(self, mel: Tensor) -> Tensor:
        """Vocode a batch in float32, whatever autocast the client has set.

        Args:
            mel: (B, n_mels, frames), or (B, frames, n_mels) if the client's layout says so, of
                any floating-point type.

        Returns:
            (B, frames * hop_length) float32 in [-1, 1].

        Raises:
            WavewrightError: another shape, or values of another logarithm.
        """
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            mel = convert_mel(
                mel.detach().to(self.device, torch.float32), self.source, self.source.bands_first
            )
            lengths = unpadded_frames(mel) if self.pads else [mel.shape[-1]] * len(mel)
            if self.check:
                for item, frames in zip(mel, lengths, strict=True):
                    require_plausible_log(item[:, :frames], self.source, self.client)
            mel = _fill_with_silence(mel, lengths, self.source)
            converted = convert_mel(mel, self.source.bands_first, self.vocoder.mel_spec)
            wavs = self.vocoder.generate(converted, seed=self.seed)
            for wav, frames in zip(wavs, lengths, strict=True):
                wav[frames * self.vocoder.hop_length :] = 0
            return wavs

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow a device change of `.to`, `.half` or `.cuda`, but stay in float32."""

        def moved(value: Tensor) -> Tensor:
            return value.to(fn(value.new_empty(0)).device)

        applied: Self = super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return applied


def unpadded_frames(mel: Tensor) -> list[int]:
    """Frames of each item of (B, n_mels, frames) before its padding of 0.0."""
    nonzero = (mel != 0).any(dim=1)
    places = torch.arange(1, nonzero.shape[1] + 1, device=mel.device)
    lengths: list[int] = (nonzero * places).amax(dim=1).tolist()
    return lengths


def _fill_with_silence(mel: Tensor, lengths: list[int], spec: MelSpec) -> Tensor:
    silence = torch.tensor(spec.silence, dtype=mel.dtype, device=mel.device)
    padding = torch.ones(len(mel), 1, mel.shape[-1], dtype=torch.bool, device=mel.device)
    for item, frames in zip(padding, lengths, strict=True):
        item[:, :frames] = False
    return torch.where(padding, silence[:, None], mel)


def require_setting(settings: Mapping[str, Any], name: str, client: str) -> Any:
    """Look up a client's setting.

    Raises:
        WavewrightError: it has none of this name.
    """
    if name not in settings:
        raise WavewrightError(f"{client}'s settings of its features have no '{name}'")
    return settings[name]


def require_no_unknown(unknown: dict[str, Any], settings: str) -> None:
    """Raise if a client has settings that no MelSpec can express."""
    if unknown:
        listed = ", ".join(f"{name} {value}" for name, value in unknown.items())
        raise WavewrightError(f"{settings}: {listed} is not supported by any MelSpec")
