"""Facts about a vocoder's variants, for the registry's table."""

from __future__ import annotations

import torch

from wavewright.models.capabilities import Exportable
from wavewright.models.streamable import can_stream
from wavewright.models.vocoder import Vocoder
from wavewright.vocoder_info import VariantInfo


def describe_variants(system: type[Vocoder], name: str) -> tuple[VariantInfo, ...]:
    """Facts about the default configuration and every variant of a class.

    Networks are built on torch's meta device, which takes no memory.
    """
    infos = []
    for variant in (None, *system.variants):
        with torch.device("meta"):
            vocoder = system.create(name, variant)
        infos.append(
            VariantInfo(
                name=variant or "",
                parameters=vocoder.parameter_count(),
                conditioning=vocoder.conditioning,
                sample_rate=vocoder.sample_rate,
                streams=can_stream(vocoder),
                exports=isinstance(vocoder, Exportable),
                learns_from_pitch=vocoder.crops.f0,
            )
        )
    return tuple(infos)
