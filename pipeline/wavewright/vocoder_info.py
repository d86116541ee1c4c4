"""Facts about vocoders that are known without loading them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VariantInfo:
    """Facts about one configuration of a vocoder.

    Attributes:
        name: of the variant; empty for the default configuration.
        parameters: trainable numbers that inference needs, weight norm folded.
        conditioning: "mel", "latent" or "none".
        sample_rate: in Hz.
        streams: whether it makes a waveform while its mel arrives.
        exports: whether it can be written as ONNX.
        learns_from_pitch: whether its training reads F0 tracks.
    """

    name: str
    parameters: int
    conditioning: str
    sample_rate: int
    streams: bool
    exports: bool
    learns_from_pitch: bool = False


@dataclass(frozen=True)
class VocoderInfo:
    """Facts about a registered vocoder.

    Attributes:
        name: in the registry, such as "hifigan".
        title: as its paper calls it, such as "HiFi-GAN".
        source: authors, year and arXiv number; for other packages, their class's summary.
        distribution: package that brings it.
        variants: the default configuration first.
        problem: why it cannot be loaded; empty if it can.
    """

    name: str
    title: str
    source: str
    distribution: str
    variants: tuple[VariantInfo, ...] = ()
    problem: str = ""
