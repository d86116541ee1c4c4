"""Table of the checkpoint formats that `import` knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from wavewright.acoustic import tacotron2
from wavewright.interop.importing import sidecar_configs, sizes
from wavewright.interop.importing.official_names import (
    rename_waveglow,
    rename_wavenet,
    rename_wavernn,
)
from wavewright.interop.importing.sidecar_configs import SidecarConfig
from wavewright.interop.importing.sizes import NetworkSizes
from wavewright.vocoders import (
    bigvgan,
    hifigan,
    melgan,
    multiband_melgan,
    parallel_wavegan,
    vocos,
)

State = Mapping[str, Tensor]


def _always(state: State) -> bool:
    return True


@dataclass(frozen=True)
class CheckpointFormat:
    """Format of one toolkit's checkpoints of one system.

    Attributes:
        name: value of `--format`.
        system: description of the network and its toolkit.
        model: our `system` or `system:variant` that it becomes.
        marks: patterns of keys (plain weights, after wrappers) that all must occur.
        rename: their state dict to ours.
        sizes: reads our configuration fields from the weights.
        mel: preset of its mels by number of bands; without a match, the user must name one.
        statistics: whether its mels are normalised by statistics of the training data.
        condition: further requirement on a state dict with all marks.
        left_out: pattern of keys that synthesis does not need.
        sidecar: reads the toolkit's configuration file beside it.
        kind: kind of model.
    """

    name: str
    system: str
    model: str
    marks: tuple[str, ...]
    rename: Callable[[State], dict[str, Tensor]]
    sizes: Callable[[State], NetworkSizes]
    mel: Mapping[int, str] = field(default_factory=dict)
    statistics: bool = False
    condition: Callable[[State], bool] = _always
    left_out: str = r"(?!)"
    sidecar: Callable[[Path], SidecarConfig] = sidecar_configs.no_sidecar
    kind: Literal["vocoder", "acoustic"] = "vocoder"

    def count_marks(self, state: State) -> int:
        """Number of marks that a state dict has."""
        return sum(any(re.match(mark, key) for key in state) for mark in self.marks)


def _unchanged(state: State) -> dict[str, Tensor]:
    return dict(state)


def _from_transformers(state: State) -> dict[str, Tensor]:
    return {
        re.sub(r"^upsampler\.", "ups.", key): value
        for key, value in state.items()
        if key not in ("mean", "scale")
    }


def _from_melgan(state: State) -> dict[str, Tensor]:
    """Rename MelGAN's keys; stage and layer counts are read from the keys."""
    shapes = {key: value.ndim for key, value in state.items()}
    plain = [key for key in shapes if re.fullmatch(r"(model|generator|melgan)\.\d+\.weight", key)]
    places = sorted(int(key.split(".")[1]) for key in plain)
    park = any(key.startswith("generator.") for key in state)
    layers = sizes.count_numbers(state, r"generator\.\d+\.blocks\.(\d+)\.") if park else None
    config = melgan.MelGANConfig.model_construct(
        upsample_rates=(2,) * max(len(places) - 2, 0),
        residual_layers=layers or (places[2] - places[1] - 2 if len(places) > 2 else 1),
    )
    return melgan.rename_official(state, config)


def _several_bands(state: State) -> bool:
    """True if ParallelWaveGAN's MelGAN ends with more than one channel."""
    numbers = [int(m[1]) for key in state if (m := re.fullmatch(r"melgan\.(\d+)\.weight", key))]
    return bool(numbers) and state[f"melgan.{max(numbers)}.weight"].shape[:1] > (1,)


#: Generators within end-to-end models, by a key of theirs, and why they are no vocoders; with the
#: number of channels that drive them.
NOT_MEL_DRIVEN = {
    r"tts\.generator\.decoder\.input_conv\.weight": (
        "the decoder of an end-to-end model of ESPnet's such as VITS is driven by {} latent "
        "channels that the model's own encoder makes, not by a mel, so that it is no vocoder; "
        "vocoders of its joint_text2wav models can be imported"
    ),
    r"tts\.generator\.generator\.input_conv\.weight": (
        "the generator of an end-to-end model of ESPnet's such as JETS is driven by {} hidden "
        "features of the model's own decoder, not by a mel, so that it is no vocoder; vocoders "
        "of its joint_text2wav models can be imported"
    ),
    r"tts\.generator\.vocoder\.noise_upsample\.0\.weight": (
        "the vocoder of this joint model of ESPnet's is a StyleMelGAN, which is not among ours; "
        "HiFi-GAN, MelGAN and Parallel WaveGAN are"
    ),
}
_STATISTICS = r"(mean|scale)"
_VOCOS_TRAINING = r"(multiperioddisc|multiresddisc|melspec_loss|disc_loss|gen_loss|feat_matching)"
_PARALLEL = {80: "parallel-wavegan"}

FORMATS: tuple[CheckpointFormat, ...] = (
    CheckpointFormat(
        "hifigan", "HiFi-GAN of jik876", "hifigan",
        (r"conv_pre\.weight", r"ups\.0\.weight", r"resblocks\.0\.", r"conv_post\."),
        _unchanged, sizes.hifigan, {80: "hifigan"}, sidecar=sidecar_configs.hifigan,
    ),
    CheckpointFormat(
        "bigvgan", "BigVGAN of NVIDIA", "bigvgan",
        (r"conv_pre\.weight", r"ups\.0\.0\.weight", r"resblocks\.0\.activations\.", r"conv_post\."),
        bigvgan.rename_official, sizes.bigvgan, {80: "bigvgan-22k", 100: "bigvgan-24k"},
        left_out=r".*\.filter$", sidecar=sidecar_configs.hifigan,
    ),
    CheckpointFormat(
        "speecht5", "SpeechT5HifiGan of transformers", "hifigan",
        (r"conv_pre\.weight", r"upsampler\.0\.weight", r"resblocks\.0\.convs1\.", r"conv_post\."),
        _from_transformers, sizes.hifigan, {80: "speecht5"}, statistics=True,
        left_out=_STATISTICS, sidecar=sidecar_configs.speecht5,
    ),
    CheckpointFormat(
        "melgan", "MelGAN of descript", "melgan:descript",
        (r"model\.1\.weight", r"model\.3\.weight", r"model\.4\.block\.2\.", r"model\.4\.short"),
        _from_melgan, sizes.melgan, {80: "melgan"},
    ),
    CheckpointFormat(
        "melgan-seungwonpark", "MelGAN of seungwonpark", "melgan:seungwonpark",
        (r"generator\.1\.weight", r"generator\.3\.weight", r"generator\.4\.blocks\.0\.2\."),
        _from_melgan, sizes.melgan, {80: "tacotron2"}, left_out=r"mel_mean$|mel_std$",
    ),
    CheckpointFormat(
        "pwg-hifigan", "HiFi-GAN of ParallelWaveGAN or ESPnet", "hifigan",
        (r"input_conv\.weight", r"upsamples\.0\.1\.weight", r"blocks\.0\.", r"output_conv\.1\."),
        hifigan.rename_parallel_wavegan, sizes.hifigan, _PARALLEL, statistics=True,
        left_out=_STATISTICS, sidecar=sidecar_configs.parallel_wavegan,
    ),
    CheckpointFormat(
        "pwg-multiband-melgan", "Multi-band MelGAN of ParallelWaveGAN or ESPnet",
        "multiband_melgan",
        (r"melgan\.1\.weight", r"melgan\.3\.weight", r"melgan\.4\.stack\.2\."),
        multiband_melgan.rename_parallel_wavegan, sizes.multiband_melgan, _PARALLEL,
        statistics=True, condition=_several_bands, left_out=rf"{_STATISTICS}|pqmf\.",
        sidecar=sidecar_configs.parallel_wavegan,
    ),
    CheckpointFormat(
        "pwg-melgan", "MelGAN of ParallelWaveGAN or ESPnet", "melgan:descript",
        (r"melgan\.1\.weight", r"melgan\.3\.weight", r"melgan\.4\.stack\.2\."),
        _from_melgan, sizes.melgan, _PARALLEL, statistics=True,
        condition=lambda state: not _several_bands(state), left_out=_STATISTICS,
        sidecar=sidecar_configs.parallel_wavegan,
    ),
    CheckpointFormat(
        "parallel-wavegan", "Parallel WaveGAN of ParallelWaveGAN or ESPnet", "parallel_wavegan",
        (r"first_conv\.weight", r"conv_layers\.0\.conv1x1_aux\.", r"last_conv_layers\.3\."),
        parallel_wavegan.rename_official, sizes.parallel_wavegan, _PARALLEL, statistics=True,
        left_out=_STATISTICS, sidecar=sidecar_configs.parallel_wavegan,
    ),
    CheckpointFormat(
        "wavenet", "WaveNet of r9y9", "wavenet",
        (r"first_conv\.weight", r"conv_layers\.0\.conv1x1c\.", r"last_conv_layers\.3\."),
        rename_wavenet, sizes.wavenet, sidecar=sidecar_configs.wavenet,
    ),
    CheckpointFormat(
        "wavernn", "WaveRNN of fatchord", "wavernn",
        (r"upsample\.resnet\.conv_in\.", r"I\.weight", r"rnn1\.", r"fc3\."),
        rename_wavernn, sizes.wavernn, {80: "wavernn-reflect"}, left_out=r"step$",
    ),
    CheckpointFormat(
        "wavernn-dual-softmax", "dual-softmax WaveRNN of fatchord", "wavernn:dual-softmax",
        (r"R\.weight", r"I_coarse\.weight", r"I_fine\.weight", r"O4\.weight"),
        rename_wavernn, sizes.dual_softmax, left_out=r"step$",
    ),
    CheckpointFormat(
        "waveglow", "WaveGlow of NVIDIA", "waveglow",
        (r"upsample\.weight", r"WN\.0\.start\.weight", r"convinv\.0\.conv\.weight"),
        rename_waveglow, sizes.waveglow, {80: "tacotron2"},
        left_out=r"WN\.\d+\.(cond|res|skip)_layers\.",
    ),
    CheckpointFormat(
        "tacotron2", "Tacotron 2 of NVIDIA", "tacotron2",
        (r"embedding\.weight", r"encoder\.lstm\.", r"decoder\.prenet\.", r"postnet\."),
        tacotron2.rename_official, sizes.tacotron2, {80: "tacotron2"}, kind="acoustic",
    ),
    CheckpointFormat(
        "vocos", "Vocos of gemelo-ai", "vocos",
        (r"backbone\.embed\.", r"backbone\.convnext\.0\.dwconv\.", r"head\.out\."),
        vocos.rename_official, sizes.vocos, {100: "vocos-24k"},
        left_out=rf"{_VOCOS_TRAINING}|feature_extractor\.|head\.istft\.",
        sidecar=sidecar_configs.vocos,
    ),
)  # fmt: skip
"""Every known format; where marks of two are found, the first counts."""
