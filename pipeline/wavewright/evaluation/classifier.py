"""A small network that hears which class a sound is of, learnt from the corpus itself.

It is the measure by which unconditional models are judged: what it is sure of, how evenly, and
where its features lie. It sees the log-mel of a sound of one length, four times halves it by
convolutions, and averages what is left.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.io.files import atomic_write, default_file_mode, os_error_context, write_text
from wavewright.io.progress import progress
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel

log = logging.getLogger("wavewright")
_WIDTHS = (32, 64, 96, 128)
_LOUDER = 6.0  # dB by which training changes levels, either way
_AT_ONCE = 64
_RATE = 2e-3
_WEIGHTS, _ABOUT = "classifier.safetensors", "classifier.json"


class Classifier(nn.Module):
    """The network.

    Attributes:
        about: what was said of it when it was saved, such as its accuracy.

    Args:
        classes: their names, in order.
        mel: what it sees a sound by.
        samples: of a sound.
    """

    def __init__(self, classes: Sequence[str], mel: MelSpec, samples: int) -> None:
        super().__init__()
        self.classes, self.samples = tuple(classes), samples
        self.about: dict[str, Any] = {}
        self.mel = mel.bands_first.model_copy(
            update={"wav_steps": (), "target_steps": (), "normalisation": None, "log": "ln"}
        )
        layers: list[nn.Module] = []
        for before, after in zip((1, *_WIDTHS), _WIDTHS, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(_WIDTHS[-1], len(self.classes))

    def image(self, wavs: Tensor) -> Tensor:
        """(B, samples) -> (B, n_mels, frames), log-mels of about unit size."""
        return (log_mel(wavs, self.mel).clamp(min=-11.5) + 5.75) / 3

    def features(self, wavs: Tensor) -> Tensor:
        """(B, samples) -> (B, 128), what the classes are told by."""
        averaged: Tensor = self.layers(self.image(wavs)[:, None]).mean(dim=(2, 3))
        return averaged

    def forward(self, wavs: Tensor) -> Tensor:
        """(B, samples) -> (B, classes), logarithms of odds."""
        told: Tensor = self.last(self.features(wavs))
        return told

    @torch.no_grad()
    def hear(self, wavs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, classes) and features (n, 128) of sounds (n, samples)."""
        self.eval()
        told, features = [], []
        for start in range(0, len(wavs), _AT_ONCE):
            found = self.features(torch.from_numpy(wavs[start : start + _AT_ONCE]))
            features.append(found)
            told.append(self.last(found).softmax(dim=1))
        return torch.cat(told).numpy(), torch.cat(features).numpy()

    def learn(self, wavs: np.ndarray, labels: Sequence[str], *, epochs: int, seed: int) -> None:
        """Learn from sounds, shifted and made louder or softer at random.

        Args:
            wavs: (n, samples), each followed by its silence.
            labels: their classes.
            epochs: passes over all of them.
            seed: of weights, order, shifts and levels.
        """
        numbers = torch.tensor([self.classes.index(label) for label in labels])
        sounds, random = torch.from_numpy(wavs), np.random.default_rng(seed)
        lengths = [int(np.flatnonzero(wav)[-1]) + 1 if wav.any() else 1 for wav in wavs]
        steps = -(-len(wavs) // _AT_ONCE) * epochs
        optimiser = torch.optim.AdamW(self.parameters(), lr=_RATE, weight_decay=1e-2)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
        self.train()
        with progress("classifier", total=epochs, unit="epochs", shown=True) as bar:
            for _ in range(epochs):
                order = random.permutation(len(wavs))
                for start in range(0, len(order), _AT_ONCE):
                    picked = order[start : start + _AT_ONCE]
                    batch = torch.stack([_moved(sounds[i], lengths[i], random) for i in picked])
                    loss = F.cross_entropy(self(batch), numbers[picked])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    rates.step()
                bar.advance(note=f"loss {float(loss.detach()):.3f}")
        self.eval()

    def save(self, folder: Path, **about: Any) -> None:
        """Write weights and what they are into a folder."""
        with (
            atomic_write(folder / _WEIGHTS) as scratch,
            default_file_mode(scratch),
            os_error_context(scratch),
        ):
            save_file(self.state_dict(), scratch)
        about |= {
            "classes": self.classes,
            "samples": self.samples,
            "mel": self.mel.model_dump(mode="json"),
        }
        write_text(folder / _ABOUT, json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """What `save` wrote.

        Raises:
            WavewrightError: there is none.
        """
        try:
            about = json.loads((folder / _ABOUT).read_text())
            state = load_file(folder / _WEIGHTS)
        except FileNotFoundError as error:
            raise WavewrightError(f"{folder}: holds no classifier ({error.filename})") from None
        made = cls(about["classes"], MelSpec.model_validate(about["mel"]), about["samples"])
        made.load_state_dict(state)
        made.about = about
        return made.eval()


def fitted(wav: np.ndarray, samples: int) -> np.ndarray:
    """A sound cut to so many samples, or followed by silence."""
    cut = wav[:samples].astype(np.float32)
    return np.pad(cut, (0, samples - len(cut)))


def _moved(wav: Tensor, length: int, random: np.random.Generator) -> Tensor:
    """Later by a part of the silence after it, and louder or softer."""
    by = int(random.integers(0, max(1, min(len(wav) - length, len(wav) // 4))))
    gain = 10 ** (float(random.uniform(-_LOUDER, _LOUDER)) / 20)
    return torch.roll(wav, by) * gain
