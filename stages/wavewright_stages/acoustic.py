"""Stage 3: train the acoustic model, which turns text into mels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from wavewright.errors import WavewrightError, shorten_list
from wavewright.mel.spec import MelSpec
from wavewright.stage import Budget, In, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.acoustic.data import TextMelData
    from wavewright.data.shards import Array, Shards
    from wavewright.models.acoustic import AcousticModel

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
        config: changes to the published configuration. `speakers: corpus` stands for all
            speakers of the training split; with `phonemes: arpabet`, the lexicon is gathered
            from its TextGrids, and entries of the recipe's own `lexicon` come before those.
        init_from: checkpoint of the same configuration to start from; a model of several
            speakers may start from one of a single voice, or of other speakers.
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
    from wavewright.data.shards import Shards
    from wavewright.registry import create_model
    from wavewright.training.acoustic_validation import Validation
    from wavewright.training.loop import TrainingOptions, train
    from wavewright.training.state import seed_everything

    natural = Shards(mels)
    if natural.mel is None:
        raise WavewrightError(f"{mels}: holds audio where mels are expected")
    mel.require_equal(natural.mel, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(seed, 0)
    table = _Table(prepared, natural)
    settings = {**config, **_learnt_of(table, config), "mel": mel}
    network: AcousticModel = create_model("acoustic", model, **settings)
    table.require_known(network)
    if init_from is not None:
        _start_from(network, init_from)
    frames = None if longest_seconds is None else mel.frames(int(longest_seconds * mel.sample_rate))
    train(
        network,
        _training_data(network, table, batch_size, seed, frames),
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
        validate=Validation(
            network,
            natural,
            table.texts(network, "dev"),
            table.speakers,
            seed=seed,
            utterances=validation_utterances,
            spoken=spoken_utterances,
            picture=acoustic / "attention.png",
        ),
    )


class _Table:
    """What the manifest says of the utterances that have a mel.

    Attributes:
        speakers: by id, of all usable utterances.
        grids: TextGrids by id, of those that have one.
    """

    def __init__(self, prepared: Path, natural: Shards) -> None:
        from wavewright.data.manifest import read_manifest, usable_rows

        self.path, self.natural = prepared / "manifest.parquet", natural
        self.rows = usable_rows(read_manifest(self.path))
        self.speakers = self._column("speaker")
        grids = self._column("alignment")
        self.grids = {id_: prepared / path for id_, path in grids.items() if path}

    def _column(self, name: str) -> dict[str, str]:
        return dict(zip(self.rows["id"].tolist(), self.rows[name].tolist(), strict=True))

    def ids(self, split: str) -> list[str]:
        """Utterances of a split that have a mel."""
        named = self.rows["id"][self.rows["split"] == split]
        return [id_ for id_ in named.tolist() if id_ in self.natural]

    def texts(self, network: AcousticModel, split: str) -> dict[str, list[int]]:
        """Numbered texts of a split; what cannot be read is named and left out."""
        from wavewright.acoustic.data import encode_texts

        written = self._column("normalised_text")
        chosen = {id_: written[id_] for id_ in self.ids(split)}
        texts, refused = encode_texts(network, chosen, self.grids)
        for utterance, reason in list(refused.items())[:5]:
            log.warning("%s is left out of the %s split: %s", utterance, split, reason)
        if refused:
            log.warning("%d of %d %s utterances left out", len(refused), len(chosen), split)
        return texts

    def places(
        self, network: AcousticModel, texts: Mapping[str, list[int]]
    ) -> dict[str, Array] | None:
        """Where in its text each utterance is at each frame, by the TextGrids of the corpus."""
        from wavewright.acoustic.alignment_targets import read_places

        if not network.learns_places:
            return None
        written = {id_: [network.symbols[n] for n in numbers] for id_, numbers in texts.items()}
        phones = network.reads_phones
        return read_places(written, self.grids, self.natural, network.mel, phones=phones)

    def require_known(self, network: AcousticModel) -> None:
        """Refuse speakers that a model of several does not know, whatever their split."""
        strangers = [id_ for id_, name in self.speakers.items() if name not in network.speakers]
        if not network.speakers or not strangers:
            return
        first = strangers[0]
        raise WavewrightError(
            f"{self.path}: '{first}' of the {self._column('split')[first]} split is spoken by "
            f"'{self.speakers[first]}', whom the acoustic model does not know "
            f"({len(strangers)} such utterances). Speakers: {shorten_list(network.speakers)}. Each "
            "needs utterances in the train split."
        )


def _learnt_of(table: _Table, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration leaves to the training split: names of speakers, a lexicon."""
    from wavewright.acoustic.lexicon import ARPABET, gather_lexicon
    from wavewright.text.symbols import SYMBOLS
    from wavewright.text.textgrid import read_alignment

    learnt: dict[str, Any] = {}
    ids = table.ids("train")
    if config.get("speakers") == "corpus":
        learnt["speakers"] = sorted({table.speakers[id_] for id_ in ids})
        log.info("%d speakers: %s", len(learnt["speakers"]), shorten_list(learnt["speakers"]))
    if config.get("phonemes") == ARPABET:
        alignments = (read_alignment(table.grids[id_]) for id_ in ids if id_ in table.grids)
        found = gather_lexicon(alignments, set(config.get("symbols", SYMBOLS)))
        learnt["lexicon"] = {**found, **config.get("lexicon", {})}
        log.info("the lexicon has %d words", len(learnt["lexicon"]))
    return learnt


def _start_from(network: AcousticModel, path: Path) -> None:
    from wavewright.checkpoints.checkpoint import load_model
    from wavewright.models.acoustic import AcousticModel

    source = load_model(path)
    if not isinstance(source, AcousticModel):
        raise WavewrightError(f"{path}: holds the vocoder '{source.name}', no acoustic model")
    source.mel.require_equal(network.mel, mine=f"checkpoint {path}", theirs="this training")
    try:
        new = network.adopt(source)
    except WavewrightError as error:
        raise WavewrightError(f"{path}: {error}") from error
    if new:
        log.info("%s: what is new to it: %s", path, shorten_list(new))


def _training_data(
    network: AcousticModel, table: _Table, batch_size: int, seed: int, longest_frames: int | None
) -> TextMelData:
    from wavewright.acoustic.data import TextMelData, number_speakers

    texts = table.texts(network, "train")
    return TextMelData(
        table.natural,
        texts,
        batch_size=batch_size,
        seed=seed,
        longest_frames=longest_frames,
        places=table.places(network, texts),
        speakers=number_speakers(network, table.speakers)[0],
    )
