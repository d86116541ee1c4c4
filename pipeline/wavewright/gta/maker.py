"""Ground-truth-aligned (GTA) mels by teacher-forcing an acoustic model.

The model is in eval mode: batch norm uses its running statistics and dropout is off, except for
the prenet's, which the model needs in inference too; it is drawn from a seed of each utterance's
own. The mel after the postnet is stored, cut to the recording's true number of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from wavewright.acoustic.alignment_targets import read_alignment_targets
from wavewright.acoustic.data import collate, encode_texts, index_speakers
from wavewright.audio.files import from_pcm16
from wavewright.checkpoints.checkpoint import load_model
from wavewright.data.pitch import track_f0
from wavewright.data.shards import Array, IndexRow, Shards
from wavewright.errors import WavewrightError
from wavewright.gta.shard_maker import ReportRow, ShardMaker, single_threaded
from wavewright.models.acoustic import AcousticModel, AcousticOutput, TextBatch, utterance_seed

OnBadAlignment = Literal["keep", "refuse"]


@dataclass(frozen=True)
class GtaMaker(ShardMaker):
    """Maker of GTA shards with the recipe's own acoustic model.

    Attributes:
        acoustic: run, step or file of an acoustic model.
        device: device of the model.
        seed: seed of the noise, combined with each utterance's id.
        least_diagonality: alignments below it have failed; None accepts all.
        on_bad_alignment: keep utterances whose alignment looks wrong, or count them as failed.
        dropout_samples: samples of the prenet's dropout, whose mels are averaged.
        batch_size: utterances per batch.
    """

    acoustic: Path
    device: str
    seed: int
    least_diagonality: float | None
    on_bad_alignment: OnBadAlignment
    dropout_samples: int
    batch_size: int

    @cached_property
    def model(self) -> AcousticModel:
        """Acoustic model, checked for the convention of the natural mels."""
        model = load_model(self.acoustic, self.device)
        if not isinstance(model, AcousticModel):
            raise WavewrightError(f"{self.acoustic}: holds the vocoder '{model.name}'")
        model.mel_spec.require_equal(
            self.spec,
            mine=f"the acoustic model in {self.acoustic}",
            theirs=f"the mels in {self.mels}",
        )
        return model

    @cached_property
    def audio(self) -> Shards:
        """Shards of the recordings."""
        return Shards(self.prepared / "audio")

    def make_mels(self, ids: Sequence[str]) -> tuple[dict[str, Array], list[ReportRow]]:
        """Mels by id, and a report row for each id, in batches of similar length."""
        encoded, refused = self._encode(ids)
        lengths = {id_: self.natural.length(id_) for id_ in encoded}
        order = sorted(lengths, key=lambda id_: (lengths[id_], id_))
        mels: dict[str, Array] = {}
        rows: list[ReportRow] = []
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for id_, output in zip(batch, self._teacher_force(batch, encoded), strict=True):
                rows.append(self._check(id_, output))
                if not rows[-1].reason:
                    mels[id_] = output.mel.numpy()
        rows += [self._failed(id_, reason) for id_, reason in refused.items()]
        return mels | self._substitutes(rows), rows

    def teacher_force(self, ids: Sequence[str]) -> list[tuple[AcousticOutput, list[int]]]:
        """Teacher-forced output of each utterance, and the symbol indices of its text."""
        encoded, _ = self._encode(ids)
        with single_threaded():
            return [(self._teacher_force([id_], encoded)[0], encoded[id_]) for id_ in ids]

    def _teacher_force(
        self, ids: Sequence[str], encoded: Mapping[str, list[int]]
    ) -> list[AcousticOutput]:
        """Outputs of one batch, in order, averaged over all dropout samples."""
        batch = self._batch(ids, encoded)
        samples = [
            self.model.teacher_force(batch, [self._noise_seed(id_, sample) for id_ in ids])
            for sample in range(self.dropout_samples)
        ]
        return [_mean(outputs) for outputs in zip(*samples, strict=True)]

    def _noise_seed(self, utterance: str, sample: int) -> int:
        return utterance_seed(self.seed, f"{utterance}/draw {sample}" if sample else utterance)

    def _encode(self, ids: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, str]]:
        """Symbol indices of the utterances that can be made, and the reasons for the others."""
        known, refused = self._known(ids)
        texts = {id_: self.texts[id_] for id_ in known}
        grids = {id_: self.prepared / t.alignment for id_, t in texts.items() if t.alignment}
        encoded, unreadable = encode_texts(self.model, {i: t.text for i, t in texts.items()}, grids)
        _, unknown = index_speakers(self.model, {i: t.speaker for i, t in texts.items()})
        refused = refused | unknown | unreadable
        if self.model.needs_alignment_targets:
            known_times = self._alignment_targets(
                {id_: text for id_, text in encoded.items() if id_ not in refused}
            )
            untimed = "it has no TextGrid whose words are its text's"
            refused |= {id_: untimed for id_ in encoded if id_ not in {**known_times, **refused}}
        return {id_: numbers for id_, numbers in encoded.items() if id_ not in refused}, refused

    def _batch(self, ids: Sequence[str], encoded: Mapping[str, list[int]]) -> TextBatch:
        names = {id_: self.texts[id_].speaker for id_ in ids}
        speakers, _ = index_speakers(self.model, names)
        targets = pitch = None
        if self.model.needs_alignment_targets:
            targets = self._alignment_targets({id_: encoded[id_] for id_ in ids})
        if self.model.learns_from_pitch:
            pitch = {id_: self._f0(id_) for id_ in ids}
        return collate(self.natural, self.spec, ids, encoded, targets, speakers, pitch)

    def _alignment_targets(self, encoded: Mapping[str, list[int]]) -> dict[str, Array]:
        """Symbol at each frame, of the utterances whose TextGrids fit their texts."""
        symbols = {id_: [self.model.symbols[n] for n in text] for id_, text in encoded.items()}
        grids = {
            id_: self.prepared / self.texts[id_].alignment
            for id_ in encoded
            if self.texts[id_].alignment
        }
        phones = self.model.reads_phones
        return read_alignment_targets(symbols, grids, self.natural, self.spec, phones=phones)

    def _f0(self, utterance: str) -> Array:
        """F0 of a recording at its mel's frames."""
        wav = from_pcm16(self.audio.array(utterance))
        return track_f0(wav, self.audio.sample_rate, self.spec)

    def _check(self, utterance: str, output: AcousticOutput) -> ReportRow:
        """Report row of a predicted mel: accepted, or failed with the reason."""
        natural, predicted = self.natural.array(utterance), output.mel.numpy()
        scores, floor, reason = output.scores, self.least_diagonality, ""
        if predicted.shape != natural.shape:
            reason = f"the model gave {predicted.shape[1]} frames for {natural.shape[1]}"
        elif not np.isfinite(predicted).all():
            reason = "the model gave numbers that are not finite"
        elif floor is not None and scores.diagonality < floor:
            reason = f"diagonality {scores.diagonality:.3f} is below {floor:g}"
        elif self.on_bad_alignment == "refuse" and scores.alignment_failure:
            reason = f"the acoustic model {scores.alignment_failure}"
        row = self._failed(utterance, reason)
        if not reason:
            distance = float(np.abs(predicted - natural).mean())
            row = replace(row, made="gta", frames=predicted.shape[1], mel_l1=distance)
        return replace(row, **scores._asdict(), doubt=scores.alignment_failure)


@dataclass(frozen=True)
class DeviceTask:
    """Shards of one process and device, by number and ids."""

    maker: GtaMaker
    shards: Sequence[tuple[int, list[str]]]

    def make_shards(self) -> list[tuple[list[IndexRow], list[ReportRow]]]:
        """Make each shard, unless an interrupted run already has."""
        return [self.maker.make_shard(shard) for shard in self.shards]

    def __str__(self) -> str:
        return f"{len(self.shards)} shards on {self.maker.device}"


def _mean(outputs: Sequence[AcousticOutput]) -> AcousticOutput:
    """Mean mel and alignment of one utterance's dropout samples."""
    if len(outputs) == 1:
        return outputs[0]
    return AcousticOutput(
        mel=torch.stack([output.mel for output in outputs]).mean(dim=0),
        alignment=torch.stack([output.alignment for output in outputs]).mean(dim=0),
        stopped=outputs[0].stopped,
    )
