"""Validation of an acoustic model in training: losses, attention, free-running speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wavewright.acoustic.attention_plot import Panel, plot_attention
from wavewright.acoustic.data import collate, index_speakers
from wavewright.data.shards import Array, Shards
from wavewright.models.acoustic import AcousticModel, AcousticOutput, utterance_seed
from wavewright.training.logger import TrainingLogger


class AcousticValidation:
    """Measures losses and attention on dev utterances; synthesizes and draws a few of them.

    Args:
        model: acoustic model in training.
        mels: natural mels.
        texts: numbered texts of the dev utterances, by id.
        speakers: speakers' names, by id.
        seed: seed of the prenet's dropout.
        utterances: number of utterances to measure.
        spoken: number of them to synthesize freely and draw.
        picture: file for the plot of their attention.
        alignment_targets: (frames,) by id, for models that need them.
        pitch: F0 in Hz (frames,) by id, for models that learn from it.
    """

    def __init__(
        self,
        model: AcousticModel,
        mels: Shards,
        texts: Mapping[str, list[int]],
        speakers: Mapping[str, str],
        *,
        seed: int,
        utterances: int,
        spoken: int,
        picture: Path,
        alignment_targets: Mapping[str, Array] | None = None,
        pitch: Mapping[str, Array] | None = None,
    ) -> None:
        self.model, self.mels, self.texts, self.speakers = model, mels, texts, speakers
        self.voices, _ = index_speakers(model, speakers)
        self.seed, self.picture = seed, picture
        self.alignment_targets, self.pitch = alignment_targets, pitch
        self.ids = sorted(texts)[:utterances]
        self.spoken = self.ids[:spoken]

    def __call__(self, step: int, logger: TrainingLogger) -> dict[str, float]:
        if not self.ids:
            return {}
        losses, followed = self._follow()
        freely = self._speak()
        means = _means([speech.scores._asdict() for speech in followed])
        free = _means([speech.scores._asdict() for speech in freely])
        stopped = {"free_stopped": sum(s.stopped for s in freely) / max(1, len(freely))}
        self._draw(followed, freely, step, logger)
        return {**losses, **means, **{f"free_{name}": free[name] for name in free}, **stopped}

    def _follow(self) -> tuple[dict[str, float], list[AcousticOutput]]:
        """Mean loss terms, and every validation utterance under teacher forcing, in order."""
        losses: list[dict[str, float]] = []
        speech_by_id: dict[str, AcousticOutput] = {}
        by_length = sorted(self.ids, key=self.mels.length)
        for start in range(0, len(by_length), 16):
            ids = by_length[start : start + 16]
            batch = collate(
                self.mels,
                self.model.mel_spec,
                ids,
                self.texts,
                self.alignment_targets,
                self.voices,
                self.pitch,
            ).to(self.model.device)
            terms, speeches = self.model.teacher_force_with_losses(
                batch, [utterance_seed(self.seed, id_) for id_ in ids]
            )
            losses += [{name: float(value) for name, value in terms.items()}] * len(ids)
            speech_by_id.update(zip(ids, speeches, strict=True))
        return _means(losses), [speech_by_id[id_] for id_ in self.ids]

    def _speak(self) -> list[AcousticOutput]:
        if not self.spoken:
            return []
        return self.model.generate_batch(
            [self.texts[id_] for id_ in self.spoken],
            seeds=[utterance_seed(self.seed, id_) for id_ in self.spoken],
            max_seconds=None,
            speakers=[self.speakers[id_] for id_ in self.spoken] if self.model.speakers else [],
        )

    def _draw(
        self,
        followed: Sequence[AcousticOutput],
        freely: Sequence[AcousticOutput],
        step: int,
        logger: TrainingLogger,
    ) -> None:
        """Plot attention into the picture; log attention and mels to TensorBoard."""
        panels = []
        for utterance, forced, free in zip(self.spoken, followed, freely, strict=False):
            symbols = [self.model.symbols[n].removeprefix("@") for n in self.texts[utterance]]
            for way, speech in (("teacher-forced", forced), ("free-running", free)):
                panels.append(Panel(f"{utterance}, {way}, step {step}", speech, symbols))
                logger.image(f"attention/{way}/{utterance}", speech.alignment.T, step)
                logger.image(f"mel/{way}/{utterance}", speech.mel, step)
        if panels:
            plot_attention(self.picture, panels)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every column."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
