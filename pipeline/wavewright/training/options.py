"""Options of the stages that train, each written once: type, default, documentation.

The stages `train` and `acoustic` take these groups (wavewright.stage.OptionGroup); a recipe names
the fields flat: `train.max_steps`. Importing this module must stay cheap: no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from wavewright.stage import Budget, OptionGroup, Unkeyed
from wavewright.training.nan_guard import OnBadStep

PrecisionName = Literal["float32", "bf16", "fp16"]
Features = Literal["natural", "gta", "natural-then-gta"]


class TrainingOptions(OptionGroup):
    """Options of every training, whatever the model: budget, intervals, devices, processes."""

    max_steps: Budget[PositiveInt] = Field(
        description="Training steps in all. A larger value continues the training."
    )
    seed: NonNegativeInt = Field(
        description="Seed of initial weights, batch order, crops, noise and dropout."
    )
    checkpoint_every: Unkeyed[PositiveInt] = Field(
        default=1000, description="Steps between checkpoints."
    )
    keep_checkpoints: Unkeyed[PositiveInt] = Field(
        default=2, description="Newest checkpoints to keep, besides the best."
    )
    log_every: Unkeyed[PositiveInt] = Field(
        default=50, description="Steps between TensorBoard points."
    )
    workers: Unkeyed[NonNegativeInt] = Field(
        default=0, description="Data-loading processes; 0 loads in the training process."
    )
    device: Unkeyed[str] = Field(default="auto", description="`auto`, `cpu` or `cuda`.")
    precision: Unkeyed[PrecisionName] = Field(
        default="float32",
        description="Arithmetic of the networks: `float32`, `bf16`, or on a GPU `fp16`. Weights "
        "and optimizers stay in float32.",
    )
    accumulate: Unkeyed[PositiveInt] = Field(
        default=1,
        description="Equal parts in which a batch is processed, one after the other, to save "
        "memory.",
    )
    deterministic: Unkeyed[bool] = Field(
        default=False,
        description="Use algorithms that give the same bits in every run on a GPU, where torch "
        "has them.",
    )
    profile: Unkeyed[NonNegativeInt] = Field(
        default=0, description="Steps to trace into logs/profile; 0 traces none."
    )
    on_bad_step: Unkeyed[OnBadStep] = Field(
        default="stop",
        description="Reaction to a loss or gradient that is not finite, or a loss that spikes: "
        "`stop`, or `skip` the step in all processes. logs/bad_steps.jsonl has its utterances.",
    )
    loss_spike: Unkeyed[float | None] = Field(
        default=None,
        gt=1,
        description="Multiple of a loss's running median from which it counts as a spike; null "
        "accepts any finite loss.",
    )
    max_bad_steps: Unkeyed[PositiveInt] = Field(
        default=10, description="Steps in a row that `on_bad_step: skip` skips; one more stops."
    )
    max_restarts: Unkeyed[NonNegativeInt | None] = Field(
        default=None,
        description="Restarts, without a new checkpoint in between, of a training whose processes "
        "die or hang. null means 3 with several processes, and none with one, whose hanging is "
        "then only logged.",
    )
    gpus: Unkeyed[PositiveInt] = Field(
        default=1, description="Processes on this machine, each on a GPU of its own."
    )
    nodes: Unkeyed[PositiveInt] = Field(default=1, description="Machines that train together.")
    rendezvous: Unkeyed[str] = Field(
        default="", description="HOST:PORT at which several machines connect."
    )


class VocoderTrainingOptions(TrainingOptions):
    """Options of the stage `train`, besides the vocoder's name, configuration and mel."""

    features: Features = Field(
        default="natural",
        description="Mels to learn from. Validation uses natural ones, and also GTA mels if these "
        "are learnt from.",
    )
    gta_start: NonNegativeInt | None = Field(
        default=None, description="Step at which `natural-then-gta` changes to GTA mels."
    )
    gta_learning_rate: PositiveFloat | None = Field(
        default=None,
        description="Generator's learning rate from `gta_start` on, where its schedule restarts "
        "(discriminators keep their ratio to it); null continues the one schedule.",
    )
    adversary_start: NonNegativeInt = Field(
        default=0,
        description="Step until which the generator learns from its reconstruction loss alone; "
        "ignored by vocoders without discriminators.",
    )
    init_from: Path | None = Field(
        default=None,
        description="Checkpoint to start from, including its discriminators where it has them.",
    )
    batch_size: PositiveInt = Field(default=16, description="Crops per step, over all processes.")
    segment_length: PositiveInt = Field(
        default=8192, description="Samples per crop, unless the vocoder fixes it."
    )
    crops_per_utterance: PositiveInt = Field(
        default=1, description="Crops of one utterance in a step; divides `batch_size`."
    )
    compute_mels: Unkeyed[bool] = Field(
        default=False,
        description="Compute natural mels of the crops on the training device instead of reading "
        "them from shards.",
    )
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of the averaged weights that inference uses; null is the model's own.",
    )
    best_by: str = Field(
        default="auto",
        description="Validation metric whose best checkpoint later stages use: `mel_l1`, `mstft`, "
        "`bits_per_sample`, or with the suffix `_gta` from GTA mels; `ltas_db` of unconditional "
        "vocoders; `latest` is the newest checkpoint. `auto` is `bits_per_sample` where the "
        "vocoder has it, else `mel_l1` or `ltas_db`, on the mels learnt from. Only steps after "
        "adversary_start, gta_start and pruning count.",
    )
    validation_utterances: NonNegativeInt = Field(
        default=8,
        description="Dev utterances that each validation vocodes in full. For autoregressive "
        "vocoders it measures the likelihood of all and vocodes only those logged.",
    )
    logged_utterances: Unkeyed[NonNegativeInt] = Field(
        default=3, description="Validation utterances with sound and mel in TensorBoard."
    )


class AcousticTrainingOptions(TrainingOptions):
    """Options of the stage `acoustic`, besides the model's name, configuration and mel."""

    init_from: Path | None = Field(
        default=None,
        description="Checkpoint of the same configuration to start from. A model of several "
        "speakers may start from one of a single voice, or of other speakers.",
    )
    batch_size: PositiveInt = Field(
        default=64, description="Utterances per step, over all processes."
    )
    longest_seconds: PositiveFloat | None = Field(
        default=None, description="Longer utterances are left out of training; null keeps all."
    )
    validation_utterances: NonNegativeInt = Field(
        default=32, description="Dev utterances whose losses and attention are measured."
    )
    spoken_utterances: NonNegativeInt = Field(
        default=4, description="Validation utterances that are also synthesized freely and drawn."
    )
