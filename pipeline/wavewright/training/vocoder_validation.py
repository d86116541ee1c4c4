"""Validation of a vocoder in training: whole dev utterances, vocoded and measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.data.manifest import labels_by_id

if TYPE_CHECKING:
    from wavewright.data.shards import Shards
    from wavewright.models.vocoder import Vocoder
    from wavewright.training.journal import Journal


class VocoderValidation:
    """Vocodes whole dev utterances and measures them against the recordings.

    Args:
        model: whose waveforms.
        prepared: audio and manifest.
        mels: natural mels.
        utterances: how many.
        shown: how many of them can be seen and heard in TensorBoard.
        gta: GTA mels, to vocode from too; None leaves them out.
    """

    def __init__(
        self,
        model: Vocoder,
        prepared: Path,
        mels: Path,
        utterances: int,
        shown: int,
        gta: Path | None,
    ) -> None:
        from wavewright.data.manifest import read_manifest, usable_rows
        from wavewright.data.shards import Shards
        from wavewright.metrics.mel_l1 import MelL1
        from wavewright.metrics.mstft import MSTFT
        from wavewright.models.autoregressive import SequentialVocoder

        self.model, self.shown = model, shown
        self.audio = Shards(prepared / "audio")
        dev = usable_rows(read_manifest(prepared / "manifest.parquet"), "dev")["id"].tolist()
        self.ids = dev[:utterances]
        self.sources = {"": Shards(mels)}
        self.labels = labels_by_id(prepared, model.labelled_by) if model.labelled_by else {}
        self.gta_ids: list[str] = []
        if gta is not None:
            made = Shards(gta)
            self.gta_ids = [id_ for id_ in self.ids if id_ in made]
            if self.gta_ids:
                self.sources["_gta"] = made
        # What a vocoder says by itself is no copy of an utterance.
        self.metrics = (MelL1(), MSTFT()) if model.conditioning == "mel" else ()
        slow = isinstance(model, SequentialVocoder)
        self.samples = 0 if self.metrics else shown if slow else max(shown, utterances)

    @property
    def tell_by(self) -> str:
        """The metric that tells how a training goes; empty if none does."""
        return next(iter(self.names), "")

    @property
    def names(self) -> list[str]:
        """Of all that is measured."""
        names = ["bits_per_sample"] if self.model.tells_likelihood else []
        names += [metric.name for metric in self.metrics] + ["ltas_db"] * bool(self.samples)
        return [name + suffix for suffix in self.sources for name in names]

    def __call__(self, step: int, journal: Journal) -> dict[str, float]:
        import numpy as np

        from wavewright.models.autoregressive import SequentialVocoder

        means = {}
        for suffix, mels in self.sources.items():
            ids = self.gta_ids if suffix else self.ids
            if self.model.tells_likelihood:
                bits = [self._bits(id_, mels) for id_ in ids]
                means[f"bits_per_sample{suffix}"] = float(np.mean(bits)) if bits else math.nan
            if isinstance(self.model, SequentialVocoder):  # which speaks slowly
                ids = ids[: self.shown]
            if not self.metrics:
                continue
            rows = [self._measure(id_, mels, suffix, step, journal) for id_ in ids]
            for metric, values in zip(self.metrics, zip(*rows, strict=True), strict=False):
                defined = [value for value in values if math.isfinite(value)]
                means[metric.name + suffix] = float(np.mean(defined)) if defined else math.nan
        if self.samples:
            means["ltas_db"] = self._like_speech(step, journal)
        return means

    def _like_speech(self, step: int, journal: Journal) -> float:
        """How far the long-term spectrum of what it says by itself is from the recordings'."""
        from wavewright.audio.files import from_pcm16
        from wavewright.mel.transform import log_mel
        from wavewright.metrics.ltas import long_term_spectrum, spectral_distance

        wavs = self.model.sample(self.samples, seed=0).float().cpu()
        for number, wav in enumerate(wavs[: self.shown]):
            journal.audio(f"sample/{number}", wav, self.model.sample_rate, step)
            journal.image(f"sample/{number}", log_mel(wav, self.model.mel), step)
        recorded = (from_pcm16(self.audio.array(utterance)) for utterance in self.ids)
        return spectral_distance(
            long_term_spectrum(wavs.numpy(), self.model.mel),
            long_term_spectrum(recorded, self.model.mel),
        )

    def _bits(self, utterance: str, mels: Shards) -> float:
        """Of a whole utterance, each sample after the true ones."""
        from wavewright.training.crops import whole

        label = self.labels.get(utterance, "")
        batch = whole(self.audio, mels, utterance, self.model, label)
        return float(self.model.bits_per_sample(batch.to(self.model.device)))

    def _measure(
        self, utterance: str, mels: Shards, suffix: str, step: int, journal: Journal
    ) -> list[float]:
        """One utterance by every metric."""
        import torch

        from wavewright.audio.files import from_pcm16
        from wavewright.mel.transform import log_mel

        spec = self.model.mel
        mel = torch.from_numpy(mels.array(utterance).copy())[None]
        natural = from_pcm16(self.audio.array(utterance))
        if self.model.speakers:
            self.model.speaker = self.labels[utterance]
        wav = self.model.generate(mel, seed=0)[0].float().cpu()
        if utterance in self.ids[: self.shown]:
            if step == 0:
                recording = torch.from_numpy(natural)
                journal.audio(f"natural/{utterance}", recording, spec.sample_rate, step)
                journal.image(f"natural/{utterance}", log_mel(recording, spec), step)
            journal.audio(f"dev{suffix}/{utterance}", wav, spec.sample_rate, step)
            journal.image(f"dev{suffix}/{utterance}", log_mel(wav, spec), step)
        length = min(len(wav), len(natural))
        return [
            float(metric(natural[:length], wav[:length].numpy(), spec.sample_rate))
            for metric in self.metrics
        ]
