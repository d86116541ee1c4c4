"""Stage 3: train the acoustic model, which turns text into mels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from wavewright.errors import WavewrightError
from wavewright.melspec import MelSpec
from wavewright.stage import Budget, In, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.acoustic.data import TextMelData
    from wavewright.acoustic.model import AcousticModel, Speech
    from wavewright.journal import Journal
    from wavewright.shards import Array, Shards

log = logging.getLogger("wavewright")


@stage(version=1, precious=True)
def acoustic(
    prepared: In,
    mels: In,
    acoustic: Out,
    *,
    mel: MelSpec,
    seed: int,
    max_steps: Budget[int],
    model: str = "tacotron2",
    config: dict[str, Any] = {},  # noqa: B006 (never mutated; pydantic copies it)
    init_from: Path | None = None,
    batch_size: int = 64,
    longest_seconds: float | None = None,
    validation_utterances: int = 32,
    spoken_utterances: int = 4,
    checkpoint_every: Unkeyed[int] = 1000,
    keep: Unkeyed[int] = 2,
    log_every: Unkeyed[int] = 50,
    workers: Unkeyed[int] = 0,
    device: Unkeyed[str] = "auto",
    precision: Unkeyed[Literal["float32", "bf16", "fp16"]] = "float32",
    accumulate: Unkeyed[PositiveInt] = 1,
    deterministic: Unkeyed[bool] = False,
    profile: Unkeyed[NonNegativeInt] = 0,
    on_bad_step: Unkeyed[Literal["stop", "skip"]] = "stop",
    loss_leap: Unkeyed[float | None] = None,
    most_bad_steps: Unkeyed[PositiveInt] = 10,
    relaunches: Unkeyed[NonNegativeInt | None] = None,
    gpus: Unkeyed[PositiveInt] = 1,
    nodes: Unkeyed[PositiveInt] = 1,
    rendezvous: Unkeyed[str] = "",
) -> None:
    """Train one acoustic model until `max_steps`; a larger budget continues.

    Args:
        prepared: the manifest, for texts and splits.
        mels: natural mels.
        acoustic: checkpoints, `validation.jsonl`, `attention.png` of the last validation, and
            `logs/tensorboard`.
        mel: the convention; must be that of `mels`.
        seed: of initial weights, order and dropout.
        max_steps: training steps in all.
        model: `system[:variant]`.
        config: changes to the published configuration.
        init_from: checkpoint of the same configuration to start from.
        batch_size: utterances per step.
        longest_seconds: longer utterances are not trained on; None means all are.
        validation_utterances: dev utterances whose losses and attention are measured.
        spoken_utterances: how many of them are also spoken freely, and drawn.
        checkpoint_every: steps between checkpoints.
        keep: newest checkpoints to keep.
        log_every: steps between TensorBoard points.
        workers: data-loading processes.
        device: auto, cpu or cuda.
        precision: of the network's arithmetic; weights stay in float32.
        accumulate: parts of a batch that are learnt from one after the other, to save memory.
        deterministic: the same bits at every run on a GPU, where torch knows how.
        profile: steps to trace, into logs/profile.
        on_bad_step: where a loss or gradient is not finite, or a loss leaps: stop, or skip that
            step; its utterances are in logs/bad_steps.jsonl.
        loss_leap: a loss leaps at so many times its running median; None lets it.
        most_bad_steps: in a row, before skipping them becomes stopping.
        relaunches: how often a training whose processes die or stand still is started again
            without a new checkpoint in between; None is 3 times with several processes, and never
            with one, which then is only said to stand still.
        gpus: processes that train together here, each on a GPU of its own.
        nodes: machines that train together.
        rendezvous: HOST:PORT where they meet.
    """
    from wavewright.registry import create_model
    from wavewright.session import seed_everything
    from wavewright.shards import Shards
    from wavewright.training import TrainingOptions, train

    natural = Shards(mels)
    if natural.mel is None:
        raise WavewrightError(f"{mels}: holds audio where mels are expected")
    mel.require_equal(natural.mel, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(seed, 0)
    network: AcousticModel = create_model("acoustic", model, **{**config, "mel": mel})
    if init_from is not None:
        _start_from(network, init_from)
    frames = None if longest_seconds is None else mel.frames(int(longest_seconds * mel.sample_rate))
    train(
        network,
        _training_data(network, prepared, natural, batch_size, seed, frames),
        run=acoustic,
        options=TrainingOptions(
            max_steps=max_steps,
            seed=seed,
            checkpoint_every=checkpoint_every,
            keep=keep,
            log_every=log_every,
            workers=workers,
            device=device,
            precision=precision,
            accumulate=accumulate,
            deterministic=deterministic,
            judged_by="mel",
            profile=profile,
            on_bad_step=on_bad_step,
            loss_leap=loss_leap,
            most_bad_steps=most_bad_steps,
        ),
        validate=_Validation(
            network,
            natural,
            _texts(network, prepared, natural, "dev"),
            seed=seed,
            utterances=validation_utterances,
            spoken=spoken_utterances,
            picture=acoustic / "attention.png",
        ),
    )


def _start_from(network: AcousticModel, path: Path) -> None:
    from wavewright.checkpoint import load_model

    source = load_model(path)
    source.mel.require_equal(network.mel, mine=f"checkpoint {path}", theirs="this training")
    network.load_inference_state(source.inference_state())


def _training_data(
    network: AcousticModel,
    prepared: Path,
    natural: Shards,
    batch_size: int,
    seed: int,
    longest_frames: int | None,
) -> TextMelData:
    from wavewright.acoustic.data import TextMelData

    texts = _texts(network, prepared, natural, "train")
    return TextMelData(
        natural,
        texts,
        batch_size=batch_size,
        seed=seed,
        longest_frames=longest_frames,
        places=_places(network, prepared, natural, texts) if network.learns_places else None,
    )


def _places(
    network: AcousticModel, prepared: Path, natural: Shards, texts: Mapping[str, list[int]]
) -> dict[str, Array]:
    """Where in its text each utterance is at each frame, by the TextGrids of the corpus."""
    from wavewright.acoustic.places import read_places
    from wavewright.manifest import read_manifest, usable

    rows = usable(read_manifest(prepared / "manifest.parquet"), "train")
    named = zip(rows["id"].tolist(), rows["alignment"].tolist(), strict=True)
    written = {id_: [network.symbols[n] for n in numbers] for id_, numbers in texts.items()}
    grids = {id_: prepared / path for id_, path in named if path}
    return read_places(written, grids, natural, network.mel)


def _texts(
    network: AcousticModel, prepared: Path, natural: Shards, split: str
) -> dict[str, list[int]]:
    """Numbered texts of a split; what cannot be read is named and left out."""
    from wavewright.acoustic.data import encode_texts
    from wavewright.manifest import read_manifest, usable

    rows = usable(read_manifest(prepared / "manifest.parquet"), split)
    written = dict(zip(rows["id"].tolist(), rows["normalised_text"].tolist(), strict=True))
    texts, refused = encode_texts(network, {i: t for i, t in written.items() if i in natural})
    for utterance, reason in list(refused.items())[:5]:
        log.warning("%s is left out of the %s split: %s", utterance, split, reason)
    if refused:
        log.warning("%d of %d %s utterances left out", len(refused), len(written), split)
    return texts


class _Validation:
    """Measures losses and attention on dev utterances; speaks and draws a few of them."""

    def __init__(
        self,
        model: AcousticModel,
        mels: Shards,
        texts: Mapping[str, list[int]],
        *,
        seed: int,
        utterances: int,
        spoken: int,
        picture: Path,
    ) -> None:
        self.model, self.mels, self.texts = model, mels, texts
        self.seed, self.picture = seed, picture
        self.ids = sorted(texts)[:utterances]
        self.spoken = self.ids[:spoken]

    def __call__(self, step: int, journal: Journal) -> dict[str, float]:
        if not self.ids:
            return {}
        losses, followed = self._follow()
        freely = self._speak()
        means = _means([speech.scores._asdict() for speech in followed])
        free = _means([speech.scores._asdict() for speech in freely])
        stopped = {"free_stopped": sum(s.stopped for s in freely) / max(1, len(freely))}
        self._draw(followed, freely, step, journal)
        return {**losses, **means, **{f"free_{name}": free[name] for name in free}, **stopped}

    def _follow(self) -> tuple[dict[str, float], list[Speech]]:
        """Mean loss terms, and every validation utterance under teacher forcing, in order."""
        from wavewright.acoustic.data import collate
        from wavewright.acoustic.model import utterance_seed

        losses: list[dict[str, float]] = []
        made: dict[str, Speech] = {}
        by_length = sorted(self.ids, key=self.mels.length)
        for start in range(0, len(by_length), 16):
            ids = by_length[start : start + 16]
            batch = collate(self.mels, self.model.mel, ids, self.texts).to(self.model.device)
            terms, speeches = self.model.follow(
                batch, [utterance_seed(self.seed, id_) for id_ in ids]
            )
            losses += [{name: float(value) for name, value in terms.items()}] * len(ids)
            made.update(zip(ids, speeches, strict=True))
        return _means(losses), [made[id_] for id_ in self.ids]

    def _speak(self) -> list[Speech]:
        from wavewright.acoustic.model import utterance_seed

        if not self.spoken:
            return []
        return self.model.speak_all(
            [self.texts[id_] for id_ in self.spoken],
            seeds=[utterance_seed(self.seed, id_) for id_ in self.spoken],
            max_seconds=None,
        )

    def _draw(
        self, followed: Sequence[Speech], freely: Sequence[Speech], step: int, journal: Journal
    ) -> None:
        """Attention into the picture; attention and mels into TensorBoard."""
        from wavewright.acoustic.attention_plot import Panel, plot_attention

        panels = []
        for utterance, forced, free in zip(self.spoken, followed, freely, strict=False):
            symbols = [self.model.symbols[number] for number in self.texts[utterance]]
            for way, speech in (("teacher-forced", forced), ("free-running", free)):
                panels.append(Panel(f"{utterance}, {way}, step {step}", speech, symbols))
                journal.image(f"attention/{way}/{utterance}", speech.alignment.T, step)
                journal.image(f"mel/{way}/{utterance}", speech.mel, step)
        if panels:
            plot_attention(self.picture, panels)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every column."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
