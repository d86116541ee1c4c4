"""Validation of a vocoder in training: whole dev utterances, vocoded and measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.data.manifest import labels_by_id

if TYPE_CHECKING:
    from wavewright.data.shards import Shards
    from wavewright.models.vocoder import Vocoder
    from wavewright.training.logger import TrainingLogger


class VocoderValidation:
    """Vocodes whole dev utterances and measures them against the recordings.

    Args:
        model: vocoder in training.
        prepared: audio and manifest.
        mels: natural mels.
        utterances: number of dev utterances to validate on.
        logged: number of them with sound and mel in TensorBoard.
        gta: GTA mels, to vocode from too; None leaves them out.
    """

    def __init__(
        self,
        model: Vocoder,
        prepared: Path,
        mels: Path,
        *,
        utterances: int,
        logged: int,
        gta: Path | None,
    ) -> None:
        from wavewright.data.manifest import read_manifest, usable_rows
        from wavewright.data.shards import Shards
        from wavewright.metrics.mel_l1 import MelL1
        from wavewright.metrics.mstft import MSTFT
        from wavewright.models.autoregressive import AutoregressiveVocoder

        self.model, self.logged = model, logged
        self.audio = Shards(prepared / "audio")
        dev = usable_rows(read_manifest(prepared / "manifest.parquet"), "dev")["id"].tolist()
        self.ids = dev[:utterances]
        self.sources = {"": Shards(mels)}
        self.labels = labels_by_id(prepared, model.labelled_by) if model.labelled_by else {}
        self.gta_ids: list[str] = []
        if gta is not None:
            aligned = Shards(gta)
            self.gta_ids = [id_ for id_ in self.ids if id_ in aligned]
            if self.gta_ids:
                self.sources["_gta"] = aligned
        # An unconditional sample has no recording to be compared with.
        self.metrics = (MelL1(), MSTFT()) if model.conditioning == "mel" else ()
        slow = isinstance(model, AutoregressiveVocoder)
        self.samples = 0 if self.metrics else logged if slow else max(logged, utterances)

    @property
    def main_metric(self) -> str:
        """Metric that shows how the training goes; "" if there is none."""
        return next(iter(self.metric_names), "")

    @property
    def metric_names(self) -> list[str]:
        """Names of all validation metrics, the main one first."""
        names = ["bits_per_sample"] if self.model.tells_likelihood else []
        names += [metric.name for metric in self.metrics] + ["ltas_db"] * bool(self.samples)
        return [name + suffix for suffix in self.sources for name in names]

    def __call__(self, step: int, logger: TrainingLogger) -> dict[str, float]:
        import numpy as np

        from wavewright.models.autoregressive import AutoregressiveVocoder

        means = {}
        for suffix, mels in self.sources.items():
            ids = self.gta_ids if suffix else self.ids
            if self.model.tells_likelihood:
                bits = [self._bits(id_, mels) for id_ in ids]
                means[f"bits_per_sample{suffix}"] = float(np.mean(bits)) if bits else math.nan
            if isinstance(self.model, AutoregressiveVocoder):  # which are slow
                ids = ids[: self.logged]
            if not self.metrics:
                continue
            rows = [self._measure(id_, mels, suffix, step, logger) for id_ in ids]
            for metric, values in zip(self.metrics, zip(*rows, strict=True), strict=False):
                defined = [value for value in values if math.isfinite(value)]
                means[metric.name + suffix] = float(np.mean(defined)) if defined else math.nan
        if self.samples:
            means["ltas_db"] = self._long_term_distance(step, logger)
        return means

    def _long_term_distance(self, step: int, logger: TrainingLogger) -> float:
        """Distance in dB between the long-term spectra of samples and recordings."""
        from wavewright.audio.files import from_pcm16
        from wavewright.mel.transform import log_mel
        from wavewright.metrics.ltas import long_term_spectrum, spectral_distance

        wavs = self.model.sample(self.samples, seed=0).float().cpu()
        for number, wav in enumerate(wavs[: self.logged]):
            logger.audio(f"sample/{number}", wav, self.model.sample_rate, step)
            logger.image(f"sample/{number}", log_mel(wav, self.model.mel_spec), step)
        recorded = (from_pcm16(self.audio.array(utterance)) for utterance in self.ids)
        return spectral_distance(
            long_term_spectrum(wavs.numpy(), self.model.mel_spec),
            long_term_spectrum(recorded, self.model.mel_spec),
        )

    def _bits(self, utterance: str, mels: Shards) -> float:
        """Bits per sample of a whole utterance under teacher forcing."""
        from wavewright.training.crops import full_utterance_batch

        label = self.labels.get(utterance, "")
        batch = full_utterance_batch(self.audio, mels, utterance, self.model, label)
        return float(self.model.bits_per_sample(batch.to(self.model.device)))

    def _measure(
        self, utterance: str, mels: Shards, suffix: str, step: int, logger: TrainingLogger
    ) -> list[float]:
        """Vocode one utterance and compute every metric."""
        import torch

        from wavewright.audio.files import from_pcm16
        from wavewright.mel.transform import log_mel

        spec = self.model.mel_spec
        mel = torch.from_numpy(mels.array(utterance).copy())[None]
        natural = from_pcm16(self.audio.array(utterance))
        if self.model.speakers:
            self.model.speaker = self.labels[utterance]
        wav = self.model.generate(mel, seed=0)[0].float().cpu()
        if utterance in self.ids[: self.logged]:
            if step == 0:
                recording = torch.from_numpy(natural)
                logger.audio(f"natural/{utterance}", recording, spec.sample_rate, step)
                logger.image(f"natural/{utterance}", log_mel(recording, spec), step)
            logger.audio(f"dev{suffix}/{utterance}", wav, spec.sample_rate, step)
            logger.image(f"dev{suffix}/{utterance}", log_mel(wav, spec), step)
        length = min(len(wav), len(natural))
        return [
            float(metric(natural[:length], wav[:length].numpy(), spec.sample_rate))
            for metric in self.metrics
        ]
