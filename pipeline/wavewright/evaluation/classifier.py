"""Small classifier of sounds, trained on the corpus itself.

Unconditional models are measured by it: by the confidence and balance of its classes, and by the
distribution of its features. It reads the log-mel of a sound of fixed length, halves it four times
by convolutions, and averages the rest.
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
_MAX_GAIN = 6.0  # dB, the largest change of level in training, either way
_BATCH = 64
_LEARNING_RATE = 2e-3
_WEIGHTS, _ABOUT = "classifier.safetensors", "classifier.json"


class Classifier(nn.Module):
    """Convolutional classifier of log-mels.

    Attributes:
        about: metadata that was saved with it, such as its accuracy.

    Args:
        classes: names of the classes, in order.
        mel: log-mel that it reads.
        samples: length of a sound.
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
        """Log-mels of about unit size: (B, samples) -> (B, n_mels, frames)."""
        return (log_mel(wavs, self.mel).clamp(min=-11.5) + 5.75) / 3

    def features(self, wavs: Tensor) -> Tensor:
        """Features of the last layer: (B, samples) -> (B, 128)."""
        averaged: Tensor = self.layers(self.image(wavs)[:, None]).mean(dim=(2, 3))
        return averaged

    def forward(self, wavs: Tensor) -> Tensor:
        """Logits: (B, samples) -> (B, classes)."""
        logits: Tensor = self.last(self.features(wavs))
        return logits

    @torch.no_grad()
    def predict(self, wavs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, classes) and features (n, 128) of sounds (n, samples)."""
        self.eval()
        probabilities, features = [], []
        for start in range(0, len(wavs), _BATCH):
            part = self.features(torch.from_numpy(wavs[start : start + _BATCH]))
            features.append(part)
            probabilities.append(self.last(part).softmax(dim=1))
        return torch.cat(probabilities).numpy(), torch.cat(features).numpy()

    def fit(self, wavs: np.ndarray, labels: Sequence[str], *, epochs: int, seed: int) -> None:
        """Train on sounds, shifted and scaled at random.

        Args:
            wavs: (n, samples), each padded with silence.
            labels: classes of the sounds.
            epochs: passes over all of them.
            seed: of order, shifts and gains.
        """
        numbers = torch.tensor([self.classes.index(label) for label in labels])
        sounds, random = torch.from_numpy(wavs), np.random.default_rng(seed)
        lengths = [int(np.flatnonzero(wav)[-1]) + 1 if wav.any() else 1 for wav in wavs]
        steps = -(-len(wavs) // _BATCH) * epochs
        optimizer = torch.optim.AdamW(self.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        self.train()
        with progress("classifier", total=epochs, unit="epochs", enabled=True) as bar:
            for _ in range(epochs):
                order = random.permutation(len(wavs))
                for start in range(0, len(order), _BATCH):
                    indices = order[start : start + _BATCH]
                    batch = torch.stack([_augment(sounds[i], lengths[i], random) for i in indices])
                    loss = F.cross_entropy(self(batch), numbers[indices])
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    schedule.step()
                bar.advance(note=f"loss {float(loss.detach()):.3f}")
        self.eval()

    def save(self, folder: Path, **about: Any) -> None:
        """Write weights and metadata into a folder."""
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
        """Load a classifier that `save` wrote.

        Raises:
            WavewrightError: the folder holds none.
        """
        try:
            about = json.loads((folder / _ABOUT).read_text())
            state = load_file(folder / _WEIGHTS)
        except FileNotFoundError as error:
            raise WavewrightError(f"{folder}: holds no classifier ({error.filename})") from None
        classifier = cls(about["classes"], MelSpec.model_validate(about["mel"]), about["samples"])
        classifier.load_state_dict(state)
        classifier.about = about
        return classifier.eval()


def fit_length(wav: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad a sound to a number of samples."""
    cut = wav[:samples].astype(np.float32)
    return np.pad(cut, (0, samples - len(cut)))


def _augment(wav: Tensor, length: int, random: np.random.Generator) -> Tensor:
    """Shift a sound into the silence after it, and scale it."""
    shift = int(random.integers(0, max(1, min(len(wav) - length, len(wav) // 4))))
    gain = 10 ** (float(random.uniform(-_MAX_GAIN, _MAX_GAIN)) / 20)
    return torch.roll(wav, shift) * gain
