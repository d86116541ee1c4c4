"""Vocoders for transformers: SpeechT5, FastSpeech2Conformer and the text-to-audio pipeline.

    from wavewright.interop.transformers import TransformersVocoder

    vocoder = TransformersVocoder("hifigan.safetensors")
    wav = model.generate_speech(ids, speaker_embeddings, vocoder=vocoder)

A model's configuration does not describe its mels, so their convention is named here (`speecht5`:
log10, 16 kHz; FastSpeech2Conformer's are ESPnet's, `espnet`) and the values are checked.

Source: transformers 5.23, modeling_speecht5, modeling_fastspeech2_conformer (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.interop.adapter import ClientVocoder
from wavewright.mel.spec import MelSpec
from wavewright.models.vocoder import Vocoder


class TransformersVocoder(ClientVocoder):
    """Vocoder for `generate_speech(vocoder=...)`, the pipeline, or a model's `.vocoder`.

    Attributes:
        config: has the `sampling_rate` that the pipeline reads.
    """

    client = "transformers"
    pads = True

    def __init__(
        self,
        vocoder: Vocoder | str | Path,
        mel: MelSpec | str = "speecht5",
        *,
        seed: int | None = None,
        check: bool = True,
    ) -> None:
        super().__init__(vocoder, mel, seed=seed, check=check)
        self.config = SimpleNamespace(sampling_rate=self.sample_rate)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Vocode one mel or a batch, whose padding of 0.0 becomes silence.

        Args:
            spectrogram: (frames, n_mels) or (B, frames, n_mels).

        Returns:
            (frames * hop_length,) or (B, frames * hop_length) float32 in [-1, 1].
        """
        if spectrogram.ndim not in (2, 3):
            raise WavewrightError(
                f"transformers' mels are (frames, {self.source.n_mels}) or (batch, frames, "
                f"{self.source.n_mels}), found {tuple(spectrogram.shape)}"
            )
        if spectrogram.ndim == 2:
            return self.vocode(spectrogram[None])[0]
        return self.vocode(spectrogram)
