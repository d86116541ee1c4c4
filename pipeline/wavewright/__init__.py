"""Wavewright: train, compare and ship neural vocoders.

    import wavewright as ww

    vocoder = ww.load_vocoder("exp/train/latest")
    mel = ww.log_mel(wav, vocoder.mel_spec)
    wav = vocoder.generate(mel)

Names are imported when first used, so that `import wavewright` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wavewright._version import __version__

if TYPE_CHECKING:
    from wavewright.checkpoints.checkpoint import load_vocoder as load_vocoder
    from wavewright.errors import WavewrightError as WavewrightError
    from wavewright.inference.optimize import optimize_for_inference as optimize_for_inference
    from wavewright.interop.importing.convert import import_checkpoint as import_checkpoint
    from wavewright.mel.spec import MelSpec as MelSpec
    from wavewright.mel.transform import convert_mel as convert_mel
    from wavewright.mel.transform import log_mel as log_mel
    from wavewright.models.base import Update as Update
    from wavewright.models.batch import Batch as Batch
    from wavewright.models.capabilities import Exportable as Exportable
    from wavewright.models.capabilities import HasLikelihood as HasLikelihood
    from wavewright.models.capabilities import MultiSpeaker as MultiSpeaker
    from wavewright.models.capabilities import NeedsStatistics as NeedsStatistics
    from wavewright.models.capabilities import PredictsSpectrum as PredictsSpectrum
    from wavewright.models.capabilities import Sampler as Sampler
    from wavewright.models.config import ModelConfig as ModelConfig
    from wavewright.models.config import OptimizerConfig as OptimizerConfig
    from wavewright.models.gan_training import GANTraining as GANTraining
    from wavewright.models.gan_training import Loss as Loss
    from wavewright.models.gan_training import TrainingPair as TrainingPair
    from wavewright.models.streamable import Streamable as Streamable
    from wavewright.models.streaming import StreamBlock as StreamBlock
    from wavewright.models.trainable import Trainable as Trainable
    from wavewright.models.vocoder import CropSpec as CropSpec
    from wavewright.models.vocoder import InferenceHints as InferenceHints
    from wavewright.models.vocoder import Vocoder as Vocoder
    from wavewright.nn.noise import NoiseSpec as NoiseSpec
    from wavewright.registry import create_vocoder as create_vocoder
    from wavewright.registry import describe_vocoders as describe_vocoders
    from wavewright.registry import list_vocoders as list_vocoders
    from wavewright.vocoder_info import VocoderInfo as VocoderInfo

_PUBLIC = {
    "Batch": "models.batch",
    "CropSpec": "models.vocoder",
    "Exportable": "models.capabilities",
    "GANTraining": "models.gan_training",
    "HasLikelihood": "models.capabilities",
    "InferenceHints": "models.vocoder",
    "Loss": "models.gan_training",
    "MelSpec": "mel.spec",
    "ModelConfig": "models.config",
    "MultiSpeaker": "models.capabilities",
    "NeedsStatistics": "models.capabilities",
    "NoiseSpec": "nn.noise",
    "OptimizerConfig": "models.config",
    "PredictsSpectrum": "models.capabilities",
    "Sampler": "models.capabilities",
    "StreamBlock": "models.streaming",
    "Streamable": "models.streamable",
    "Trainable": "models.trainable",
    "TrainingPair": "models.gan_training",
    "Update": "models.base",
    "Vocoder": "models.vocoder",
    "VocoderInfo": "vocoder_info",
    "WavewrightError": "errors",
    "convert_mel": "mel.transform",
    "create_vocoder": "registry",
    "describe_vocoders": "registry",
    "import_checkpoint": "interop.importing.convert",
    "list_vocoders": "registry",
    "load_vocoder": "checkpoints.checkpoint",
    "log_mel": "mel.transform",
    "optimize_for_inference": "inference.optimize",
}
__all__ = ["__version__", "testing", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module("wavewright.testing")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'wavewright' has no attribute '{name}'")
    return getattr(importlib.import_module(f"wavewright.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
