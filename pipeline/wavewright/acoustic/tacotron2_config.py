"""Configuration of Tacotron 2."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from wavewright.acoustic.text_input import TextConfig
from wavewright.mel.spec import MelSpec


class Tacotron2Config(TextConfig):
    """Hyperparameters of Tacotron 2; the defaults are those of NVIDIA/tacotron2.

    Attributes:
        speaker_width: width of the speaker embedding, which is concatenated to every symbol's
            encoding as in NVIDIA/mellotron (model.py at 1189db6; 128 wide there).
        frames_per_step: frames per decoder step (the reduction factor). The paper has 1; more
            shortens the loop and makes attention easier to learn.
        mel_shift, mel_scale: the network sees `(mel - mel_shift) / mel_scale`. The published
            network sees the log mel as it is.
        guided_attention: weight of the guided attention loss; published: 0, none.
        guided_attention_sigma: width of its corridor, as a share of the utterance.
        guided_attention_steps: training steps over which it decays to zero; None: no decay.
        aligned_attention: weight of the loss between attention and the alignment targets of
            TextGrids, for utterances that have them; published: 0, none.
        aligned_attention_sigma: width of its corridor, in symbols.
        frame_dropout: share of the decoder's input frames that training zeroes, which forces it
            to use the text (Liu et al. 2019, arXiv:1909.01145); published: 0.
        ignore_padding: zero everything beyond an utterance before each convolution, so results
            do not depend on the rest of the batch. False is NVIDIA's behaviour: the padding
            symbol's embedding and the decoder's frames after the end leak in.
        gate_end_weight: weight, in the gate loss, of the step that ends an utterance relative to
            each step before it; published: 1.
        gate_threshold: probability above which free-running synthesis stops.
        seconds_per_symbol: duration limit of free-running synthesis, per symbol; two seconds are
            added.
    """

    mel: MelSpec = MelSpec.preset("tacotron2")
    frames_per_step: int = Field(default=1, ge=1, le=5)
    encoder_width: int = Field(default=512, gt=0, multiple_of=2)
    encoder_convolutions: int = Field(default=3, ge=0)
    encoder_kernel: int = 5
    encoder_dropout: float = Field(default=0.5, ge=0, lt=1)
    prenet_width: int = Field(default=256, gt=0)
    prenet_dropout: float = Field(default=0.5, ge=0, lt=1)
    attention_rnn_width: int = Field(default=1024, gt=0)
    attention_rnn_dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_width: int = Field(default=128, gt=0)
    attention_location_filters: int = Field(default=32, gt=0)
    attention_location_kernel: int = 31
    decoder_rnn_width: int = Field(default=1024, gt=0)
    decoder_rnn_dropout: float = Field(default=0.1, ge=0, lt=1)
    postnet_width: int = Field(default=512, gt=0)
    postnet_convolutions: int = Field(default=5, ge=2)
    postnet_kernel: int = 5
    postnet_dropout: float = Field(default=0.5, ge=0, lt=1)
    mel_shift: float = 0.0
    mel_scale: float = Field(default=1.0, gt=0)
    guided_attention: float = Field(default=0.0, ge=0)
    guided_attention_sigma: float = Field(default=0.2, gt=0)
    guided_attention_steps: int | None = Field(default=None, gt=0)
    aligned_attention: float = Field(default=0.0, ge=0)
    aligned_attention_sigma: float = Field(default=2.0, gt=0)
    frame_dropout: float = Field(default=0.0, ge=0, lt=1)
    ignore_padding: bool = True
    gate_end_weight: float = Field(default=1.0, gt=0)
    gate_threshold: float = 0.5
    seconds_per_symbol: float = Field(default=0.2, gt=0)
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    weight_decay: float = 1e-6
    clip_norm: float = 1.0

    @model_validator(mode="after")
    def _require_odd_kernels(self) -> Self:
        for field in ("encoder_kernel", "attention_location_kernel", "postnet_kernel"):
            if getattr(self, field) < 1 or getattr(self, field) % 2 == 0:
                raise ValueError(f"{field} must be odd, found {getattr(self, field)}")
        return self
