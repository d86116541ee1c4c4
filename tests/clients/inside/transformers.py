"""Tiny SpeechT5 and FastSpeech2Conformer models that speak through a vocoder of ours."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    FastSpeech2ConformerConfig,
    FastSpeech2ConformerHifiGanConfig,
    FastSpeech2ConformerWithHifiGan,
    FastSpeech2ConformerWithHifiGanConfig,
    PreTrainedTokenizerFast,
    SpeechT5Config,
    SpeechT5FeatureExtractor,
    SpeechT5ForTextToSpeech,
    TextToAudioPipeline,
)

from tests.clients.inside import answer, refusal, run_snippet
from wavewright.audio.files import load_wav
from wavewright.interop.transformers import TransformersVocoder


def work(recording: str, speecht5: str, espnet: str) -> dict[str, Any]:
    """Waveforms and refusals."""
    torch.manual_seed(0)
    shutil.copy(speecht5, "hifigan.safetensors")
    model, ids, speaker = _speecht5(), torch.tensor([[4, 5, 6, 7, 8, 2]]), torch.randn(1, 512)
    names = run_snippet("transformers", model=model, ids=ids, speaker_embeddings=speaker)
    vocoder = names["vocoder"]
    assert isinstance(vocoder, torch.nn.Module)
    wav, _ = load_wav(recording, 16000)
    extract = SpeechT5FeatureExtractor()
    mel = extract(audio_target=wav, sampling_rate=16000, return_tensors="pt")["input_values"]
    batch, lengths = model.generate_speech(
        ids.repeat(2, 1), speaker.repeat(2, 1), vocoder=vocoder, return_output_lengths=True
    )
    half = vocoder.to(torch.bfloat16)(mel[0].to(torch.bfloat16))
    natural = mel[0] * torch.tensor(10.0).log()
    return {
        "said": names["wav"].numpy(),
        "copied": vocoder(mel[0]).numpy(),
        "copied_in_bfloat16": half.numpy(),
        "batch": batch.numpy(),
        "lengths": lengths,
        "pipeline": _pipeline(model, vocoder, speaker),
        "conformer": _conformer(espnet),
        "natural": refusal(lambda: vocoder(natural)),
        "other_vocoder": refusal(lambda: TransformersVocoder(espnet)),
    }


def _speecht5() -> Any:
    config = SpeechT5Config(
        vocab_size=20, hidden_size=24, encoder_layers=1, encoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_layers=1, decoder_ffn_dim=24, decoder_attention_heads=2,
        speech_decoder_prenet_units=24, speech_decoder_postnet_layers=2,
        speech_decoder_postnet_units=24, positional_dropout=0.0,
    )  # fmt: skip
    return SpeechT5ForTextToSpeech(config).eval()


def _pipeline(model: Any, vocoder: Any, speaker: torch.Tensor) -> Any:
    words = {"<unk>": 0, "<pad>": 1, "good": 4, "morning": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    speak = TextToAudioPipeline(model=model, tokenizer=fast, vocoder=vocoder)
    said = speak("good morning", forward_params={"speaker_embeddings": speaker})
    assert said["sampling_rate"] == 16000
    return said["audio"]


def _conformer(weights: str) -> Any:
    acoustic = FastSpeech2ConformerConfig(
        hidden_size=24, vocab_size=20, encoder_layers=1, encoder_linear_units=24, decoder_layers=1,
        decoder_linear_units=24, speech_decoder_postnet_layers=2, speech_decoder_postnet_units=24,
        duration_predictor_channels=24, energy_predictor_channels=24, pitch_predictor_channels=24,
        pitch_predictor_layers=1,
    )  # fmt: skip
    config = FastSpeech2ConformerWithHifiGanConfig(
        model_config=acoustic, vocoder_config=FastSpeech2ConformerHifiGanConfig()
    )
    model = FastSpeech2ConformerWithHifiGan(config).eval()
    model.vocoder = TransformersVocoder(weights, "espnet")
    with torch.no_grad():  # a random model gives no token any frames
        model.model.duration_predictor.linear.bias.fill_(2.0)
        said = model(torch.tensor([[4, 5, 6, 7]]), return_dict=True)
    frames = said["spectrogram"].shape[1]
    assert said["waveform"].shape == (1, 256 * frames), (said["waveform"].shape, frames)
    return said["waveform"].numpy()


if __name__ == "__main__":
    answer(work)
