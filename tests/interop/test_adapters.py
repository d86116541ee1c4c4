"""Adapters, without their clients: what they say, what they refuse, what they read of settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support import tiny
from wavewright.audio.files import load_wav
from wavewright.audio.filters import Gain
from wavewright.checkpoints.checkpoint import write_weights
from wavewright.errors import MelMismatch, MissingExtra, WavewrightError
from wavewright.interop import coqui, espnet, nemo
from wavewright.interop.adapter import ClientVocoder
from wavewright.interop.coqui import CoquiVocoder
from wavewright.interop.espnet import ESPnetVocoder
from wavewright.interop.exporting.export import export_file
from wavewright.interop.exporting.parallel_wavegan import mel_differences, write_parallel_wavegan
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.interop.log_base import require_plausible_log
from wavewright.interop.nemo import NemoVocoder
from wavewright.interop.transformers import TransformersVocoder
from wavewright.mel.spec import MelSpec, StatisticsNormalisation
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

LOG10 = tiny.SPEC.model_copy(update={"log": "log10", "layout": "frames_first"})
HOP = tiny.SPEC.hop_length


def speech_like(spec: MelSpec, frames: int = 300, seed: int = 0) -> Tensor:
    """(n_mels, frames), or the other way round, with the spread of a recording's mel."""
    random = torch.Generator().manual_seed(seed)
    natural = spec.model_copy(update={"log": "ln", "layout": "bands_first"})
    mel = -5.5 + 2.0 * torch.randn(spec.n_mels, frames, generator=random)
    return convert_mel(mel.clamp(min=-11.5), natural, spec)


def said(adapter: ClientVocoder, mel: Tensor) -> Tensor:
    """Waveform (B, samples) of the vocoder itself, for a mel in the adapter's convention."""
    return adapter.vocoder.generate(
        convert_mel(mel, adapter.source, adapter.vocoder.mel_spec), seed=0
    )


def test_espnet_takes_one_mel_and_gives_one_waveform() -> None:
    adapter = ESPnetVocoder(tiny.hifigan(), LOG10)
    mel = speech_like(LOG10)
    wav = adapter(mel)
    assert (wav.shape, wav.dtype, adapter.fs) == ((300 * HOP,), torch.float32, 8000)
    torch.testing.assert_close(wav, said(adapter, mel[None])[0], rtol=0, atol=0)
    assert not wav.requires_grad


def test_transformers_takes_one_mel_or_a_batch() -> None:
    adapter = TransformersVocoder(tiny.hifigan(), LOG10)
    assert adapter.config.sampling_rate == 8000
    mels = torch.stack([speech_like(LOG10, seed=seed) for seed in range(2)])
    torch.testing.assert_close(adapter(mels[1]), said(adapter, mels)[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(adapter(mels), said(adapter, mels), rtol=0, atol=0)


def test_nemo_takes_the_keyword_and_bands_first() -> None:
    adapter = NemoVocoder(tiny.hifigan(), tiny.SPEC)
    mels = speech_like(tiny.SPEC)[None]
    wav = adapter.convert_spectrogram_to_audio(spec=mels)
    torch.testing.assert_close(wav, said(adapter, mels), rtol=0, atol=0)
    assert (adapter.sample_rate, adapter.device.type) == (8000, "cpu")


def test_coqui_gets_three_axes() -> None:
    adapter = CoquiVocoder(tiny.hifigan(), tiny.SPEC)
    mels = speech_like(tiny.SPEC)[None]
    torch.testing.assert_close(adapter.inference(mels)[:, 0], said(adapter, mels), rtol=0, atol=0)
    assert next(adapter.parameters()).device.type == "cpu"


@pytest.mark.parametrize("kind", [ESPnetVocoder, TransformersVocoder, NemoVocoder, CoquiVocoder])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fmin": 80.0}, "fmin 80.0 vs 0.0"),
        ({"fmax": 3800.0}, "fmax 3800.0 vs 4000.0"),
        ({"sample_rate": 16000}, "sample_rate 16000 vs 8000"),
        ({"hop_length": 32}, "hop_length 32 vs 16"),
        ({"framing": "center"}, "framing center vs hop"),
        ({"floor": 1e-4}, "What lies under the source's floor is lost"),
    ],
)
def test_what_cannot_be_converted_is_refused_before_anything_is_said(
    kind: type[ClientVocoder], change: dict[str, Any], named: str
) -> None:
    spec = tiny.SPEC.model_copy(update=change)
    with pytest.raises(MelMismatch, match=f"cannot follow this {kind.client} model: .*{named}"):
        kind(tiny.hifigan(), spec)


@pytest.mark.parametrize("kind", [ESPnetVocoder, TransformersVocoder])
def test_axes_the_wrong_way_round_are_refused(kind: type[ClientVocoder]) -> None:
    with pytest.raises(WavewrightError, match=r"laid out \(frames, n_mels\), but .* 300"):
        kind(tiny.hifigan(), LOG10)(speech_like(LOG10).mT)


@pytest.mark.parametrize("kind", [NemoVocoder, CoquiVocoder])
def test_bands_the_wrong_way_round_are_refused(kind: type[ClientVocoder]) -> None:
    with pytest.raises(WavewrightError, match=r"laid out \(n_mels, frames\), but .* 300"):
        kind(tiny.hifigan(), tiny.SPEC)(speech_like(tiny.SPEC)[None].mT)


def test_the_number_of_axes_is_looked_at() -> None:
    with pytest.raises(WavewrightError, match=r"\(frames, 8\), found \(1, 300, 8\)"):
        ESPnetVocoder(tiny.hifigan(), LOG10)(speech_like(LOG10)[None])
    with pytest.raises(WavewrightError, match=r"found \(300,\)"):
        TransformersVocoder(tiny.hifigan(), LOG10)(speech_like(LOG10)[:, 0])


def test_only_those_driven_by_mels_fit() -> None:
    vocoder = create_vocoder("wavegan", **tiny.SMALL["wavegan"])
    with pytest.raises(WavewrightError, match="not driven by mels, as ESPnet needs"):
        ESPnetVocoder(vocoder, LOG10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_clients_type_changes_neither_weights_nor_the_waveforms(dtype: torch.dtype) -> None:
    adapter = ESPnetVocoder(tiny.hifigan(), LOG10).to(dtype)
    assert {value.dtype for value in adapter.parameters()} == {torch.float32}
    mel = speech_like(LOG10)
    with torch.autocast("cpu", torch.bfloat16):
        wav = adapter(mel.to(dtype))
    assert wav.dtype == torch.float32
    torch.testing.assert_close(wav, adapter(mel.to(dtype).float()), rtol=0, atol=0)


def test_the_device_is_followed() -> None:
    adapter = ESPnetVocoder(tiny.hifigan(), LOG10)
    moved = nn.ModuleDict({"vocoder": adapter}).to(torch.device("meta"), torch.float16)
    assert {value.device.type for value in moved.parameters()} == {"meta"}
    assert {value.dtype for value in moved.parameters()} == {torch.float32}


def test_a_seed_makes_noise_the_same() -> None:
    vocoder = create_vocoder("parallel_wavegan", **tiny.SMALL["parallel_wavegan"]).eval()
    mel = speech_like(LOG10, 50)
    adapter = ESPnetVocoder(vocoder, LOG10, seed=3)
    assert torch.equal(adapter(mel), adapter(mel))
    fresh = ESPnetVocoder(vocoder, LOG10)
    assert not torch.equal(fresh(mel), fresh(mel))


def test_a_path_is_loaded_and_made_quick(tmp_path: Path) -> None:
    write_weights(tmp_path / "v.safetensors", tiny.hifigan(), 0)
    adapter = ESPnetVocoder(tmp_path / "v.safetensors", LOG10)
    assert adapter.vocoder.chunk_frames
    mel = speech_like(LOG10)
    wav = ESPnetVocoder(tiny.hifigan(), LOG10)(mel)
    torch.testing.assert_close(adapter(mel), wav, rtol=0, atol=1e-5)


def test_padding_by_zero_is_silence_not_a_bang() -> None:
    adapter = TransformersVocoder(tiny.hifigan(), LOG10)
    mels = torch.stack([speech_like(LOG10, seed=seed) for seed in range(2)])
    mels[1, 200:] = 0.0
    wavs = adapter(mels)
    alone = adapter(torch.cat([mels[1, :200], torch.tensor(LOG10.silence).repeat(100, 1)]))
    assert not wavs[1, 200 * HOP :].any()
    torch.testing.assert_close(wavs[1, : 200 * HOP], alone[: 200 * HOP], rtol=0, atol=1e-6)
    torch.testing.assert_close(wavs[0], adapter(mels[0]), rtol=0, atol=1e-6)


def test_nemos_last_frame_is_cut_off() -> None:
    adapter = NemoVocoder(tiny.hifigan(), tiny.SPEC)
    mel = speech_like(tiny.SPEC)[None]
    mel[:, :, -1] = 0.0
    assert adapter.convert_spectrogram_to_audio(spec=mel).shape == (1, 299 * HOP)


# What the values tell.


def test_another_logarithm_is_caught_by_its_values() -> None:
    natural = LOG10.model_copy(update={"log": "ln"})
    for spec, given in ((LOG10, natural), (natural, LOG10)):
        adapter = TransformersVocoder(tiny.hifigan(), spec)
        with pytest.raises(MelMismatch, match=f"declared as {spec.log}.* speech in {given.log}"):
            adapter(speech_like(given))
        assert TransformersVocoder(tiny.hifigan(), spec, check=False)(speech_like(given)).any()


def test_what_is_no_speech_is_not_judged() -> None:
    for value in (torch.zeros(8, 200), torch.full((8, 200), -11.5), speech_like(LOG10, 20).mT):
        require_plausible_log(value, tiny.SPEC, "a client")


def test_every_real_utterance_is_judged_rightly(shared: Path) -> None:
    corpora = shared / "corpora"
    files = [
        *sorted((corpora / "ljspeech-mini" / "wavs").glob("*.wav"))[::8],
        *sorted((corpora / "kathleen" / "wavs").iterdir())[::300],
    ]
    assert len(files) > 5
    for preset in ("hifigan", "espnet", "nemo-fastpitch-44k"):
        spec = MelSpec.preset(preset).bands_first
        other = {"ln": "log10", "log10": "ln"}[spec.log]
        for file in files:
            mel = log_mel(torch.from_numpy(load_wav(file, spec.sample_rate)[0]), spec)
            require_plausible_log(mel, spec, "a client")
            wrong = spec.model_copy(update={"log": other})
            with pytest.raises(MelMismatch, match=f"speech in {spec.log}"):
                require_plausible_log(mel, wrong, "a client")


# ESPnet's settings.


class FakeExtract:
    """ESPnet's LogMelFbank, of whose log_base its `get_parameters` does not tell."""

    def __init__(self, **changes: Any) -> None:
        self.parameters = {
            "fs": 22050, "n_fft": 1024, "n_shift": 256, "window": "hann", "n_mels": 80,
            "win_length": None, "fmin": 80, "fmax": 7600, **changes,
        }  # fmt: skip

    def get_parameters(self) -> dict[str, Any]:
        return self.parameters


def text2speech(extract: dict[str, Any] | None = None, **options: Any) -> SimpleNamespace:
    arguments = SimpleNamespace(feats_extract="fbank", feats_extract_conf=options)
    return SimpleNamespace(
        train_args=arguments,
        feats_extract=FakeExtract(**extract or {}),
        normalize=None,
        prefer_normalized_feats=False,
        device="cpu",
        vocoder=None,
    )


def small(mel: MelSpec | str) -> Vocoder:
    """A HiFi-GAN for a published convention."""
    spec = MelSpec.preset(mel) if isinstance(mel, str) else mel
    rates = {256: (16, 16), 512: (32, 16)}[spec.hop_length]
    kernels = tuple(2 * rate for rate in rates)
    changes = {"mel": spec, "upsample_rates": rates, "upsample_kernel_sizes": kernels}
    return create_vocoder("hifigan", **{**tiny.HIFIGAN, **changes}).eval()


def test_espnets_settings_are_a_preset() -> None:
    assert espnet.mel_spec_of(text2speech()) == MelSpec.preset("espnet")
    natural = espnet.mel_spec_of(text2speech(log_base=None))
    assert natural == MelSpec.preset("espnet").model_copy(update={"log": "ln"})
    longer = espnet.mel_spec_of(text2speech({"fs": 24000, "n_fft": 2048, "n_shift": 300,
                                        "win_length": 1200}))  # fmt: skip
    assert longer == MelSpec.preset("espnet-24k")


@pytest.mark.parametrize("log_base", [10, None])
def test_attach_speaks_whatever_base_the_training_had(log_base: int | None) -> None:
    speaker, vocoder = text2speech(log_base=log_base), small("espnet")
    adapter = espnet.attach(speaker, vocoder)
    assert speaker.vocoder is adapter
    mel = speech_like(espnet.mel_spec_of(speaker), 20)
    in_log10 = speech_like(MelSpec.preset("espnet"), 20)
    wav = vocoder.generate(in_log10.mT[None])[0]
    torch.testing.assert_close(adapter(mel), wav, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"log_base": 2.0}, "log_base 2.0 is not supported"),
        ({"htk": True, "center": False}, "htk True, center False is not supported"),
    ],
)
def test_attach_refuses_what_no_vocoder_knows(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WavewrightError, match=said):
        espnet.attach(text2speech(**change), small("espnet"))


def test_attach_refuses_other_mels() -> None:
    with pytest.raises(MelMismatch, match=r"fmin 0\.0 vs 80\.0"):
        espnet.attach(text2speech({"fmin": 0}), small("espnet"))
    speaker = text2speech()
    speaker.prefer_normalized_feats = True
    assert espnet.mel_spec_of(speaker) == MelSpec.preset("espnet")  # nothing is normalised
    speaker.normalize = "its statistics"
    with pytest.raises(WavewrightError, match="prefer_normalized_feats=False"):
        espnet.attach(speaker, small("espnet"))
    speaker = text2speech()
    speaker.train_args.feats_extract = "linear_spectrogram"
    with pytest.raises(WavewrightError, match="makes 'linear_spectrogram' and no log-mels"):
        espnet.attach(speaker, small("espnet"))
    assert speaker.vocoder is None


# NeMo's settings.

FASTPITCH = {
    "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
    "features": 80, "lowfreq": 0, "highfreq": 8000, "n_fft": 1024, "n_window_size": 1024,
    "window_size": False, "n_window_stride": 256, "window_stride": False, "pad_to": 1,
    "pad_value": 0, "sample_rate": 22050, "window": "hann", "normalize": None, "preemph": None,
    "dither": 0.0, "frame_splicing": 1, "log": True, "log_zero_guard_type": "add",
    "log_zero_guard_value": 1e-05, "mag_power": 1.0,
}  # fmt: skip
HIFIGAN = {**FASTPITCH, "log_zero_guard_type": "clamp", "exact_pad": True, "pad_value": -11.52}
AT_44K = {"sample_rate": 44100, "n_fft": 2048, "n_window_size": 2048, "n_window_stride": 512,
          "highfreq": None}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "preset"),
    [
        (FASTPITCH, "nemo-fastpitch-22k"),
        ({**FASTPITCH, **AT_44K}, "nemo-fastpitch-44k"),
        (HIFIGAN, "nemo-hifigan-22k"),
        ({**HIFIGAN, **AT_44K}, "nemo-hifigan-44k"),
        ({**FASTPITCH, "n_window_size": None, "window_size": 1024 / 22050,
          "n_window_stride": None, "window_stride": 256 / 22050}, "nemo-fastpitch-22k"),
    ],
)  # fmt: skip
def test_nemos_settings_are_presets(section: dict[str, Any], preset: str) -> None:
    assert nemo.mel_spec_of(section) == MelSpec.preset(preset)
    model = SimpleNamespace(cfg=SimpleNamespace(preprocessor=section))
    assert nemo.vocoder_for(model, small(preset)).source == MelSpec.preset(preset)


def test_nemos_defaults_are_those_of_speech_recognition() -> None:
    bare = {name: FASTPITCH[name] for name in ("sample_rate", "features", "n_fft")}
    bare |= {"window_size": 0.02, "window_stride": 0.01}
    with pytest.raises(WavewrightError, match=r"normalize per_feature, preemph 0\.97"):
        nemo.mel_spec_of(bare)
    with pytest.raises(WavewrightError, match="log False is not supported"):
        nemo.mel_spec_of({**FASTPITCH, "log": False})


def test_nemos_fastpitch_cannot_drive_a_vocoder_of_its_hifigan() -> None:
    """Frames sit half a hop apart and the floor is added, which NeMo itself passes over."""
    model = SimpleNamespace(cfg=SimpleNamespace(preprocessor=FASTPITCH))
    with pytest.raises(MelMismatch, match="framing center vs hop"):
        nemo.vocoder_for(model, small("nemo-hifigan-22k"))
    with pytest.raises(MelMismatch, match="sample_rate 22050 vs 44100"):
        nemo.vocoder_for(model, small("nemo-fastpitch-44k"))


def test_without_nemo_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nemo", None)
    with pytest.raises(MissingExtra, match=r"pip install 'nemo_toolkit\[tts\]'"):
        nemo.nemo_model(NemoVocoder(tiny.hifigan(), tiny.SPEC))


# Coqui's settings.


class FakeProcessor(SimpleNamespace):
    """Coqui's AudioProcessor as far as a vocoder meets it; its defaults."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(
            **{
                "sample_rate": 22050, "fft_size": 1024, "hop_length": 256, "win_length": 1024,
                "num_mels": 80, "mel_fmin": 0, "mel_fmax": None, "spec_gain": 20.0, "base": 10,
                "preemphasis": 0.0, "do_amp_to_db_mel": True, "stft_pad_mode": "reflect",
                "signal_norm": True, "symmetric_norm": True, "clip_norm": True, "max_norm": 4.0,
                "min_level_db": -100, "ref_level_db": 20, **changes,
            }
        )  # fmt: skip

    def normalised(self, amplitude: np.ndarray) -> np.ndarray:
        """Output of `melspectrogram` for amplitudes, by its documentation."""
        level = self.spec_gain * np.log(np.maximum(1e-8, amplitude)) / np.log(self.base)
        if not self.signal_norm:
            return np.asarray(level)
        share = (level - self.ref_level_db - self.min_level_db) / -self.min_level_db
        low = -self.max_norm if self.symmetric_norm else 0.0
        value = low + (self.max_norm - low) * share
        return np.asarray(np.clip(value, low, self.max_norm) if self.clip_norm else value)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"symmetric_norm": False, "max_norm": 1.0},
        {"clip_norm": False},
        {"signal_norm": False},
        {"ref_level_db": 0, "min_level_db": -80},
        {"spec_gain": 1.0, "base": np.e, "signal_norm": False},
        {"spec_gain": 1.0, "signal_norm": False},
    ],
)
def test_coquis_settings_are_a_mel_spec(change: dict[str, Any]) -> None:
    processor = FakeProcessor(**change)
    spec = coqui.mel_spec_of(processor)
    if not change:
        assert spec == MelSpec.preset("coqui")
    natural = MelSpec.preset("coqui").model_copy(update={"log": "ln", "normalisation": None})
    amplitude = torch.logspace(-7, 1, 80)[:, None]
    expected = torch.from_numpy(processor.normalised(amplitude.numpy()))
    found = convert_mel(amplitude.log().double(), natural, spec)
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-5)


def test_coquis_statistics_and_oddities() -> None:
    scaler = SimpleNamespace(mean_=np.full(80, -40.0), scale_=np.full(80, 20.0))
    how = coqui.mel_spec_of(FakeProcessor(mel_scaler=scaler)).normalisation
    assert how == StatisticsNormalisation(mean=(-40.0,) * 80, scale=(20.0,) * 80)
    with pytest.raises(WavewrightError, match=r"preemphasis 0\.97 is not supported"):
        coqui.mel_spec_of(FakeProcessor(preemphasis=0.97))
    with pytest.raises(WavewrightError, match=r"spec_gain 5.0, log_func base 10 is not supported"):
        coqui.mel_spec_of(FakeProcessor(spec_gain=5.0))


def test_coquis_synthesizer_hands_its_mels_over_as_they_were_said() -> None:
    processor = FakeProcessor()
    synthesizer = SimpleNamespace(tts_model=nn.Linear(1, 1), vocoder_model=None)
    synthesizer.tts_model.ap = processor
    vocoder = small("coqui")
    adapter = coqui.attach(synthesizer, vocoder)
    assert synthesizer.vocoder_model is adapter
    assert synthesizer.vocoder_ap is processor
    assert synthesizer.vocoder_config["audio"]["sample_rate"] == 22050
    mel = torch.linspace(-4, 4, 80).repeat(1, 12, 1).mT
    torch.testing.assert_close(adapter.inference(mel)[:, 0], vocoder.generate(mel))
    synthesizer.tts_model.ap = FakeProcessor(mel_fmax=8000)
    with pytest.raises(MelMismatch, match=r"fmax 8000\.0 vs 11025\.0"):
        coqui.attach(synthesizer, vocoder)
    synthesizer.tts_model = nn.Linear(1, 1)
    with pytest.raises(WavewrightError, match="no audio processor"):
        coqui.attach(synthesizer, vocoder)


# ParallelWaveGAN's files.

SPEC_PWG = MelSpec.preset("parallel-wavegan")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hifigan", {}),
        ("hifigan", {"resblock": 1}),
        ("melgan", {"input_shift": -2.0, "input_scale": 1.5, "base_channels": 64}),
        ("multiband_melgan", {"channels": 64, "cutoff": 0.143, "taps": 64, "beta": 8.0}),
        ("parallel_wavegan", {}),
    ],
)
def test_what_is_exported_for_parallel_wavegan_is_imported_again(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    given = {**tiny.SMALL[name], **changes, "mel": SPEC_PWG, "upsample_rates": (16, 16)}
    if name == "hifigan":
        given["upsample_kernel_sizes"] = (32, 32)
    if name == "multiband_melgan":
        given["upsample_rates"] = (16, 4)
    if name == "parallel_wavegan":
        given |= {"layers": 12, "cycles": 2}
    torch.manual_seed(0)
    vocoder = create_vocoder(name, **given).eval()
    file, config, statistics = write_parallel_wavegan(vocoder, tmp_path / "pwg", 40)
    assert file.name == "checkpoint-40steps.pkl"
    assert (config.name, statistics.name) == ("config.yml", "stats.h5")
    imported = import_checkpoint(file)
    assert imported.step == 40
    again = imported.model
    assert isinstance(again, Vocoder)
    mel = speech_like(SPEC_PWG.bands_first, 9)[None]
    theirs = convert_mel(mel, SPEC_PWG.bands_first, again.mel_spec)
    torch.testing.assert_close(
        again.generate(theirs, seed=1), vocoder.generate(mel, seed=1), rtol=0, atol=1e-5
    )


def test_the_statistics_turn_log10_into_natural_logarithms(tmp_path: Path) -> None:
    import h5py

    how = StatisticsNormalisation(mean=(-5.5,), scale=(2.0,))
    vocoder = small(MelSpec.preset("hifigan").model_copy(update={"normalisation": how}))
    _, _, path = write_parallel_wavegan(vocoder, tmp_path, 0)
    with h5py.File(path) as file:
        mean, scale = np.asarray(file["mean"]), np.asarray(file["scale"])
    assert mean.shape == scale.shape == (80,)
    natural = np.linspace(-11, 1, 80)
    np.testing.assert_allclose(
        (natural / np.log(10) - mean) / scale, (natural + 5.5) / 2.0, rtol=0, atol=1e-5
    )


def test_what_parallel_wavegan_has_no_network_for_is_refused(tmp_path: Path) -> None:
    refusals = {
        "has: hifigan, melgan, multiband_melgan, parallel_wavegan": create_vocoder(
            "vocos", **tiny.SMALL["vocos"]
        ),
        "tail_frames 3": create_vocoder("melgan", **tiny.SMALL["melgan"], tail_frames=3),
        "found 8 channels": create_vocoder(
            "melgan", **{**tiny.SMALL["melgan"], "base_channels": 2}
        ),
        r"multiply to \(4\): found 2": create_vocoder(
            "multiband_melgan",
            **{**tiny.SMALL["multiband_melgan"], "channels": 2, "upsample_rates": (4,)},
        ),
        "not twice the upsample_rates": tiny.hifigan(upsample_kernel_sizes=(8, 6)),
        "does not undo the target_steps": tiny.hifigan(
            mel=tiny.SPEC.model_copy(update={"target_steps": (Gain(factor=0.5),)})
        ),
    }
    for words, vocoder in refusals.items():
        with pytest.raises(WavewrightError, match=words):
            write_parallel_wavegan(vocoder, tmp_path / "out", 0)
    with pytest.raises(WavewrightError, match="go into a folder"):
        write_parallel_wavegan(tiny.hifigan(), tmp_path / "v.pkl", 0)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_whose_mels_it_needs(root: Path, tmp_path: Path) -> None:
    assert mel_differences(SPEC_PWG) == mel_differences(MelSpec.preset("espnet-24k")) == ""
    weights = root / "recipes/kathleen/weights/hifigan-v3.safetensors"
    said = export_file(weights, tmp_path / "pwg", form="parallel-wavegan")
    assert "framing hop vs center" in said
    assert "load_model(" in said
