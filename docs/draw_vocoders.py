"""Draw the figures of the pages in docs/vocoders from the vocoders themselves.

    python docs/draw_vocoders.py [NAME]...

Left: every layer in the order in which sound is made, with its channels and how many values a
second of sound it has, as hooks see them pass. Right: for those that mels drive, which frames a
sample in the middle hears, by the gradient; for those that a vector drives, how much a sound
changes on the way from one vector to another. Official sizes, random weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / root) for root in ("pipeline", "stages")]

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from wavewright.mel.transform import log_mel
from wavewright.models.latent import LatentVocoder
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

NAMES = {
    "hifigan": "hifigan:v1",
    "melgan": "melgan",
    "multiband_melgan": "multiband_melgan",
    "vocos": "vocos",
    "bigvgan": "bigvgan",
    "nhv": "nhv",
    "parallel_wavegan": "parallel_wavegan",
    "waveglow": "waveglow",
    "wavenet": "wavenet:mol",
    "wavernn": "wavernn:mol",
    "wavegan": "wavegan",
    "specgan": "specgan",
}
FRAMES = 80
INK, SECOND = "#0b6470", "#b4470f"
LAYERS = (nn.Linear, nn.GRU, nn.modules.conv._ConvNd)


def layers(vocoder: Vocoder, run: Any) -> list[tuple[int, int]]:
    """(channels, values along time) of every layer's output, in the order of computing."""
    seen: list[tuple[int, int]] = []

    def note(module: nn.Module, _: object, out: Any) -> None:
        shape = (out[0] if isinstance(out, tuple) else out).shape
        last = isinstance(module, nn.Linear | nn.GRU)
        if len(shape) == 4 and not isinstance(vocoder, LatentVocoder):
            shape = shape[:1] + shape[2:]  # one filter for all bands, which are its channels
        channels = shape[-1] if last else shape[1]
        times = int(np.prod(shape[1:-1])) if last else int(np.prod(shape[2:]))
        seen.append((channels, max(times, 1)))

    hooks = [m.register_forward_hook(note) for m in vocoder.modules() if isinstance(m, LAYERS)]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return seen


def spoken(vocoder: Vocoder, mel: Tensor) -> Tensor:
    """(1, samples) with a graph, by the way that training takes."""
    network: Any = vocoder
    name, samples = vocoder.name.partition(":")[0], mel.shape[-1] * vocoder.hop_length
    if name == "parallel_wavegan":
        context = network.config.context_frames * vocoder.hop_length
        said = network(mel, torch.zeros(1, samples - 2 * context))
    elif name == "waveglow":
        for coupling in network.couplings:  # which begin as the identity
            nn.init.normal_(coupling.end.weight, std=0.05)
        said = network.inverse(torch.zeros(1, 8, samples // 8), mel)
    elif name == "wavenet":
        condition = network.upsampler(mel)
        heard = torch.zeros(1, network.config.in_channels, condition.shape[-1])
        said = network(heard, condition)[:, 0]
    elif name == "wavernn":
        context = 2 * network.config.context_frames * vocoder.hop_length
        said = network.network(torch.zeros(1, samples - context), mel)[:, 0]
    elif name == "nhv":
        noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
        said = network(mel, noise, torch.full((1, mel.shape[-1]), 150.0))
    else:
        said = network(mel)
    wav: Tensor = said
    return wav


def frames_heard(vocoder: Vocoder) -> np.ndarray:
    """Influence of each frame on the sample in the middle, relative to the strongest."""
    mel = torch.randn(1, vocoder.mel_spec.n_mels, FRAMES) - 4
    mel.requires_grad_()
    wav = spoken(vocoder, mel)
    middle = wav.shape[1] // 2 + torch.arange(0, vocoder.hop_length, 16)
    total: np.ndarray = np.zeros(FRAMES)
    for sample in middle.tolist():
        (gradient,) = torch.autograd.grad(wav[0, sample], mel, retain_graph=True)
        total += gradient[0].abs().sum(dim=0).numpy()
    relative: np.ndarray = total / total.max()
    return relative


def draw(name: str) -> Path:
    """One figure."""
    torch.manual_seed(0)
    vocoder = create_vocoder(NAMES[name]).eval()
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    if isinstance(vocoder, LatentVocoder):
        seen = layers(vocoder, lambda: vocoder.sample(1, seed=0))
        seconds = (vocoder.crops.fixed_samples or 0) / vocoder.sample_rate
        way = vocoder.interpolate(21, seed=0).numpy()
        apart = [float(np.linalg.norm(wav - way[0])) for wav in way]
        right.plot(np.linspace(0, 1, 21), np.array(apart) / max(apart), color=SECOND)
        right.set_xlabel("way from one vector to another")
        right.set_title("distance of the sound from the first one's", fontsize=10)
    else:
        mel = torch.randn(1, vocoder.mel_spec.n_mels, FRAMES) - 4
        seen = layers(vocoder, lambda: spoken(vocoder, mel))
        seconds = FRAMES * vocoder.hop_length / vocoder.sample_rate
        heard = frames_heard(vocoder)
        place = np.arange(FRAMES) - FRAMES // 2
        right.semilogy(place, np.maximum(heard, 1e-8), color=SECOND, drawstyle="steps-mid")
        right.set_ylim(1e-7, 2)
        right.set_xlabel(f"frame (of {1000 * vocoder.hop_length / vocoder.sample_rate:.1f} ms)")
        right.set_title("how strongly a sample hears each frame", fontsize=10)
    numbers = np.arange(1, len(seen) + 1)
    left.semilogy(numbers, [c for c, _ in seen], color=INK, drawstyle="steps-mid", label="channels")
    left.semilogy(
        numbers,
        [t / seconds for _, t in seen],
        color=SECOND,
        drawstyle="steps-mid",
        linestyle="--",
        label="values per second and channel",
    )
    left.set_xlabel("layer, in the order of computing")
    left.set_title(f"{NAMES[name]}: {vocoder.parameter_count():,} parameters", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        _plain(axes)
    path = HERE / "images" / f"vocoder-{name}.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def draw_griffinlim() -> Path:
    """Distance of its mel from the input, over iterations: both variants, with less momentum."""
    spec = create_vocoder("griffinlim").mel_spec
    time = torch.arange(2 * spec.sample_rate) / spec.sample_rate
    pitch = 2 * np.pi * (120 * time + 40 * time.square())
    voice = sum((torch.sin(n * pitch) * 0.3 / n for n in range(1, 30)), torch.zeros(len(time)))
    mel = log_mel(0.5 * voice, spec)[None]
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.subplots()
    counts = (1, 2, 4, 8, 16, 32, 60, 120)
    lines = (("mel", 0.9, INK, "-"), ("mel", 0.0, INK, "--"), ("magnitude", 0.99, SECOND, "-"))
    for variant, momentum, color, dashes in lines:
        errors = []
        for iterations in counts:
            options = {"iterations": iterations, "momentum": momentum}
            wav = create_vocoder(f"griffinlim:{variant}", **options).generate(mel, seed=0)
            errors.append(float((log_mel(wav, spec)[..., : mel.shape[2]] - mel).abs().mean()))
        name = f"{variant}, momentum {momentum:g}"
        axes.semilogx(counts, errors, color=color, linestyle=dashes, marker="o", label=name)
    axes.set_xlabel("iterations")
    axes.set_title("mel L1 to the mel given, a gliding voice", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    path = HERE / "images" / "vocoder-griffinlim.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Draw those named, or all."""
    for name in sys.argv[1:] or [*NAMES, "griffinlim"]:
        print(draw_griffinlim() if name == "griffinlim" else draw(name))


if __name__ == "__main__":
    main()
