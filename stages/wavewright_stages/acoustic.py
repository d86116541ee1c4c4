"""Stage 3: train the acoustic model, which turns text into mels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavewright.errors import WavewrightError, shorten_list
from wavewright.mel.spec import MelSpec
from wavewright.registry import acoustic_learns_from_pitch
from wavewright.stage import In, InMaybe, Out, stage
from wavewright.training.options import AcousticTrainingOptions

if TYPE_CHECKING:
    from wavewright.acoustic.data import TextMelData
    from wavewright.data.shards import Array, Shards
    from wavewright.models.acoustic import AcousticModel

log = logging.getLogger("wavewright")


def _inputs(options: Any) -> set[str]:
    inputs = {"prepared", "mels"}
    return inputs | {"pitch"} if acoustic_learns_from_pitch(options.model) else inputs


@stage(version=1, precious=True, uses=_inputs)
def acoustic(
    prepared: In,
    mels: In,
    pitch: InMaybe,
    acoustic: Out,
    *,
    mel: MelSpec,
    model: str = "tacotron2",
    config: dict[str, Any] = {},  # noqa: B006 (never mutated; pydantic copies it)
    options: AcousticTrainingOptions,
) -> None:
    """Train one acoustic model until `max_steps`; a larger budget continues.

    Args:
        prepared: the manifest, for texts and splits.
        mels: natural mels.
        pitch: F0 tracks, for models that learn from them.
        acoustic: checkpoints, `validation.jsonl`, `attention.png` of the last validation, and
            `logs/tensorboard`.
        mel: Mel convention; must be that of `mels`.
        model: `system[:variant]`.
        config: Changes to the published configuration. `speakers: corpus` stands for all
            speakers of the training split. With `phonemes: arpabet`, the lexicon is gathered
            from the split's TextGrids; entries of the recipe's own `lexicon` take precedence.
        options: see `wavewright.training.options`.
    """
    from wavewright.data.pitch import PitchTracks
    from wavewright.data.shards import Shards
    from wavewright.registry import create_model
    from wavewright.training import loop
    from wavewright.training.acoustic_validation import AcousticValidation
    from wavewright.training.seeding import seed_everything

    natural, seed = Shards(mels), options.seed
    if natural.mel is None:
        raise WavewrightError(f"{mels}: holds audio where mels are expected")
    mel.require_equal(natural.mel, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(seed, 0)
    table = _Table(prepared, natural)
    fields = {**config, **_corpus_fields(table, config), "mel": mel}
    network: AcousticModel = create_model("acoustic", model, **fields)
    table.require_known(network)
    if options.init_from is not None:
        _start_from(network, options.init_from)
    longest = options.longest_seconds
    frames = None if longest is None else mel.frames(int(longest * mel.sample_rate))
    tracks = PitchTracks(pitch) if network.learns_from_pitch and pitch is not None else None
    dev = table.texts(network, "dev")
    dev_targets = table.alignment_targets(network, dev)
    loop.train(
        network,
        _training_data(network, table, options.batch_size, seed, frames, tracks),
        run=acoustic,
        options=options,
        selection=loop.Selection(health_metric="mel"),
        validate=AcousticValidation(
            network,
            natural,
            _with_targets(network, dev, dev_targets),
            table.speakers,
            seed=seed,
            utterances=options.validation_utterances,
            spoken=options.spoken_utterances,
            picture=acoustic / "attention.png",
            alignment_targets=dev_targets if network.needs_alignment_targets else None,
            pitch=tracks,
        ),
    )


class _Table:
    """Texts, speakers and TextGrids of the utterances that have a mel.

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

    def alignment_targets(
        self, network: AcousticModel, texts: Mapping[str, list[int]]
    ) -> dict[str, Array] | None:
        """Position in the text at every frame of each utterance, from the corpus's TextGrids."""
        from wavewright.acoustic.alignment_targets import read_alignment_targets

        if not network.uses_alignment_targets:
            return None
        written = {id_: [network.symbols[n] for n in numbers] for id_, numbers in texts.items()}
        phones = network.reads_phones
        return read_alignment_targets(
            written, self.grids, self.natural, network.mel_spec, phones=phones
        )

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


def _corpus_fields(table: _Table, config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a configuration takes from the training split: speakers, lexicon."""
    from wavewright.acoustic.lexicon import ARPABET, build_lexicon
    from wavewright.text.symbols import SYMBOLS
    from wavewright.text.textgrid import read_alignment

    fields: dict[str, Any] = {}
    ids = table.ids("train")
    if config.get("speakers") == "corpus":
        fields["speakers"] = sorted({table.speakers[id_] for id_ in ids})
        log.info("%d speakers: %s", len(fields["speakers"]), shorten_list(fields["speakers"]))
    if config.get("phonemes") == ARPABET:
        alignments = (read_alignment(table.grids[id_]) for id_ in ids if id_ in table.grids)
        gathered = build_lexicon(alignments, set(config.get("symbols", SYMBOLS)))
        fields["lexicon"] = {**gathered, **config.get("lexicon", {})}
        log.info("the lexicon has %d words", len(fields["lexicon"]))
    return fields


def _start_from(network: AcousticModel, path: Path) -> None:
    from wavewright.checkpoints.checkpoint import load_model
    from wavewright.models.acoustic import AcousticModel

    source = load_model(path)
    if not isinstance(source, AcousticModel):
        raise WavewrightError(f"{path}: holds the vocoder '{source.name}', no acoustic model")
    source.mel_spec.require_equal(
        network.mel_spec, mine=f"checkpoint {path}", theirs="this training"
    )
    try:
        new = network.load_partial(source)
    except WavewrightError as error:
        raise WavewrightError(f"{path}: {error}") from error
    if new:
        log.info("%s: what is new to it: %s", path, shorten_list(new))


def _with_targets(
    network: AcousticModel, texts: dict[str, list[int]], targets: dict[str, Array] | None
) -> dict[str, list[int]]:
    """Texts of the utterances that the model can use: those with times, if it needs them."""
    if not network.needs_alignment_targets:
        return texts
    usable = {id_: text for id_, text in texts.items() if targets and id_ in targets}
    if len(usable) < len(texts):
        log.warning(
            "%d of %d utterances are left out: %s learns durations from TextGrids, and they have "
            "none that fits their text",
            len(texts) - len(usable),
            len(texts),
            network.name,
        )
    return usable


def _training_data(
    network: AcousticModel,
    table: _Table,
    batch_size: int,
    seed: int,
    longest_frames: int | None,
    pitch: Mapping[str, Array] | None,
) -> TextMelData:
    from wavewright.acoustic.data import TextMelData, index_speakers

    texts = table.texts(network, "train")
    targets = table.alignment_targets(network, texts)
    texts = _with_targets(network, texts, targets)
    return TextMelData(
        table.natural,
        texts,
        batch_size=batch_size,
        seed=seed,
        longest_frames=longest_frames,
        alignment_targets=targets,
        speakers=index_speakers(network, table.speakers)[0],
        pitch=pitch,
    )
