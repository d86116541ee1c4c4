"""Vocoders that ESPnet trains within its models: random ones, saved as it saves them, and heard."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.clients.inside import answer
from tests.clients.inside.espnet import _TACOTRON2, _TOKENS
from wavewright.audio.files import load_wav

_LJ = {"fs": 22050, "n_fft": 1024, "hop_length": 256, "fmin": 80, "fmax": 7600}
_24K = {
    "fs": "24k", "n_fft": 2048, "hop_length": 300, "win_length": 1200, "fmin": None, "fmax": None,
    "htk": True, "log_base": None,
}  # fmt: skip
_THIN = {"channels": 4, "max_downsample_channels": 128}
_SCALE = {"channels": 16, "max_downsample_channels": 128, "kernel_sizes": [15, 41, 5, 3]}
#: Thin versions of HiFi-GAN's discriminators: as ESPnet's class has them, and as its recipe that
#: goes on from ParallelWaveGAN's weights does.
_JUDGES = {
    "scales": 2, "follow_official_norm": False, "period_discriminator_params": _THIN,
    "scale_discriminator_params": {**_SCALE, "downsample_scales": [2, 2, 4, 4, 1]},
}  # fmt: skip
_OFFICIAL = {
    **_JUDGES, "follow_official_norm": True,
    "scale_discriminator_params": {**_SCALE, "downsample_scales": [4, 4, 4, 4, 1]},
}  # fmt: skip
_HIFIGAN = {"channels": 32, "resblock_dilations": [[1, 3, 5], [1, 3, 5], [1, 2, 7]]}
_PWG = {
    "layers": 6, "stacks": 2, "residual_channels": 8, "gate_channels": 16, "skip_channels": 12,
    "upsample_params": {"upsample_scales": [8, 8, 4]},
}  # fmt: skip
_MELGAN_JUDGES = {"channels": 4, "max_downsample_channels": 256}
#: vocoder_type, its parameters, discriminator_type, its parameters, features, normalize_conf.
CASES: dict[str, tuple[str, Any, str, Any, Any, Any]] = {
    "hifigan-small": ("hifigan", _HIFIGAN, "hifigan", _JUDGES, _LJ, {}),
    "hifigan": ("hifigan", {}, "hifigan", _OFFICIAL, _LJ, {}),
    "hifigan-24k": (
        "hifigan",
        {
            "channels": 32,
            "upsample_scales": [5, 5, 4, 3],
            "upsample_kernel_sizes": [10, 10, 8, 6],
            "use_additional_convs": False,
        },
        "hifigan", _OFFICIAL, _24K, None,
    ),
    "melgan-small": ("melgan", {"channels": 256}, "melgan", _MELGAN_JUDGES, _LJ, {}),
    "melgan": ("melgan", {}, "melgan", _MELGAN_JUDGES, _LJ, {"norm_vars": False}),
    "parallel-wavegan-small": ("parallel_wavegan", _PWG, "parallel_wavegan", {}, _LJ, {}),
    "parallel-wavegan": (
        "parallel_wavegan", {}, "parallel_wavegan", {}, _LJ, {"norm_means": False},
    ),
}  # fmt: skip
_NAMES = {"hifigan": "hifigan_multi_scale_multi_period_discriminator"}
_NAMES |= {"melgan": "melgan_multi_scale_discriminator"}


def work(recording: str) -> dict[str, Any]:
    """Outputs of every vocoder and its discriminator for a recording; files of all."""
    from espnet2.gan_tts.jets.generator import JETSGenerator
    from espnet2.gan_tts.style_melgan import StyleMelGANGenerator
    from espnet2.gan_tts.vits.generator import VITSGenerator

    torch.manual_seed(0)
    said: dict[str, Any] = {}
    for name, case in CASES.items():
        said |= {f"{name}/{key}": value for key, value in _one(name, recording, *case).items()}
    _save("vits", "", VITSGenerator(vocabs=9, aux_channels=9).state_dict())
    small = {"adim": 8, "elayers": 1, "dlayers": 1, "eunits": 8, "dunits": 8}
    _save("jets", "", JETSGenerator(idim=9, odim=9, **small).state_dict())
    _save("style_melgan", "vocoder.", StyleMelGANGenerator(channels=8).state_dict())
    return said


def _save(name: str, part: str, state: Mapping[str, Tensor]) -> None:
    Path(name).mkdir()
    named = {f"tts.generator.{part}{key}": value for key, value in state.items()}
    torch.save(named, Path(name) / "train.total_count.best.pth")


@torch.no_grad()
def _one(
    name: str,
    recording: str,
    kind: str,
    sizes: Mapping[str, Any],
    judge: str,
    judge_sizes: Mapping[str, Any],
    features: Mapping[str, Any],
    norm: Mapping[str, Any] | None,
) -> dict[str, Any]:
    from espnet2.tasks.gan_tts import GANTTSTask
    from espnet2.tts.feats_extract.log_mel_fbank import LogMelFbank
    from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

    place = Path(name)
    place.mkdir()
    extract = LogMelFbank(**features)
    speech = torch.from_numpy(load_wav(recording, extract.fs)[0])[None, : extract.fs // 2]
    lengths = torch.tensor([speech.shape[1]])
    feats, _ = extract(speech, lengths)
    np.savez(
        place / "stats.npz", count=feats.shape[1], sum=feats[0].sum(0).numpy(),
        sum_square=feats[0].square().sum(0).numpy(),
    )  # fmt: skip
    arguments = GANTTSTask.get_default_config() | {
        "token_list": _TOKENS, "token_type": "char", "cleaner": None, "g2p": None,
        "tts": "joint_text2wav", "feats_extract": "fbank", "feats_extract_conf": dict(features),
        "normalize": None if norm is None else "global_mvn",
        "normalize_conf": {"stats_file": str(place / "stats.npz"), **(norm or {})},
        "pitch_extract": None, "energy_extract": None,
        "tts_conf": {
            "text2mel_type": "tacotron2", "text2mel_params": dict(_TACOTRON2),
            "vocoder_type": f"{kind}_generator", "vocoder_params": dict(sizes),
            "discriminator_type": _NAMES.get(judge, f"{judge}_discriminator"),
            "discriminator_params": dict(judge_sizes),
        },
    }  # fmt: skip
    if norm is None:
        del arguments["normalize_conf"]
    (place / "config.yaml").write_text(yaml_no_alias_safe_dump(arguments))
    model = GANTTSTask.build_model(Namespace(**arguments)).eval()
    for value in model.tts.parameters():  # so that no norm is what it was initialised to
        value.mul_(1 + 0.1 * torch.randn_like(value))
    torch.save(model.state_dict(), place / "train.total_count.best.pth")
    if model.normalize is not None:
        feats, _ = model.normalize(feats.clone(), torch.tensor([feats.shape[1]]))
    given = feats[:, :20].mT
    noise = torch.randn(1, 1, given.shape[2] * extract.get_parameters()["n_shift"])
    vocoder = model.tts.generator["vocoder"]
    wav = vocoder(given, noise) if kind == "parallel_wavegan" else vocoder(given)
    judged = model.tts.discriminator(speech[:, None, :8192])
    scores = [judged] if isinstance(judged, Tensor) else [layers[-1] for layers in judged]
    return {
        "feats": given[0].numpy(), "noise": noise[0, 0].numpy(), "wav": wav[0, 0].numpy(),
        "speech": speech[0].numpy(), "scores": torch.cat([s.flatten() for s in scores]).numpy(),
    }  # fmt: skip


if __name__ == "__main__":
    answer(work)
