"""Exported vocoders: what they are fed, what they say of themselves, who is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.support import tiny
from wavewright.audio.filters import Gain, PreEmphasis
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.interop.exporting import onnx as onnx_files
from wavewright.interop.exporting.export import export_file, export_vocoder
from wavewright.interop.exporting.graph import waveform_graph
from wavewright.interop.exporting.onnx import (
    ExportMetadata,
    open_session,
    require_parity,
    write_onnx,
)
from wavewright.interop.exporting.sherpa_onnx import SpectrumFields, WaveformFields
from wavewright.interop.exporting.snippets import onnxruntime_snippet, sherpa_onnx_snippet
from wavewright.mel.spec import MelSpec
from wavewright.models.capabilities import Exportable
from wavewright.models.latent import LatentVocoder
from wavewright.models.vocoder import Vocoder
from wavewright.registry import FIRST_PARTY, create_vocoder, find
from wavewright.vocoders.vocos import Vocos
from wavewright.vocoders.waveglow import WaveGlow

CENTRED = tiny.SPEC.model_copy(update={"framing": "center"})


def small(name: str, **changes: Any) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **{**tiny.SMALL[name], **changes}).eval()


def metadata(path: Path) -> dict[str, str]:
    found: dict[str, str] = open_session(path).get_modelmeta().custom_metadata_map
    return found


def fed(path: Path, **given: torch.Tensor) -> list[torch.Tensor]:
    answers = open_session(path).run(None, {name: v.numpy() for name, v in given.items()})
    return [torch.from_numpy(answer) for answer in answers]


def in_a_fresh_namespace(snippet: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(snippet, names)
    return names


@pytest.fixture(scope="module")
def hifigan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportMetadata]:
    path = tmp_path_factory.mktemp("hifigan") / "v.onnx"
    about, _ = export_vocoder(small("hifigan"), path, step=7)
    return path, about


@pytest.fixture(scope="module")
def wavegan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportMetadata]:
    """One that knows classes."""
    path = tmp_path_factory.mktemp("wavegan") / "v.onnx"
    about, _ = export_vocoder(small("wavegan", classes=("zero", "one", "two")), path)
    return path, about


@pytest.fixture(scope="module")
def parallel_wavegan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportMetadata]:
    path = tmp_path_factory.mktemp("pwg") / "v.onnx"
    about, _ = export_vocoder(small("parallel_wavegan"), path)
    return path, about


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (3, 2), (1, 8), (2, 131)])
def test_the_file_says_what_generate_says(
    hifigan: tuple[Path, ExportMetadata], batch: int, frames: int
) -> None:
    mel = torch.randn(batch, 8, frames, generator=torch.Generator().manual_seed(1)) - 3
    (wav,) = fed(hifigan[0], mel=mel)
    assert wav.shape == (batch, 16 * frames)
    torch.testing.assert_close(wav, small("hifigan").generate(mel), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_noise_is_an_input_and_gives_what_its_seed_gives(
    parallel_wavegan: tuple[Path, ExportMetadata],
) -> None:
    path, about = parallel_wavegan
    assert [(port.name, port.shape) for port in about.inputs] == [
        ("mel", ("batch", 8, "frames")),
        ("noise", ("batch", "frames * 16")),
    ]
    vocoder, mel = small("parallel_wavegan"), torch.randn(2, 8, 9)
    (noise,) = vocoder.draw_noise(2, 9, seed=5)
    (wav,) = fed(path, mel=mel, noise=noise)
    torch.testing.assert_close(wav, vocoder.generate(mel, seed=5), rtol=0, atol=1e-5)
    (other,) = fed(path, mel=mel, noise=-noise)
    assert (wav - other).abs().max() > 1e-3


@pytest.mark.slow
def test_a_class_is_an_input_of_whole_numbers(wavegan: tuple[Path, ExportMetadata]) -> None:
    path, about = wavegan
    assert [(port.name, port.dtype) for port in about.inputs] == [
        ("latent", "float32"),
        ("label", "int64"),
    ]
    assert about.inputs[1].about == "0: zero; 1: one; 2: two"
    vocoder = small("wavegan", classes=("zero", "one", "two"))
    assert isinstance(vocoder, LatentVocoder)
    latents = vocoder.latents(4, seed=2)
    for number, label in enumerate(vocoder.config.classes):
        vocoder.label = label
        (wav,) = fed(path, latent=latents, label=torch.full((4,), number))
        torch.testing.assert_close(
            wav, vocoder.synthesize_latents(latents, seed=2), rtol=0, atol=1e-5
        )
    vocoder.label = ""
    drawn = vocoder.draw_noise(4, 1, seed=2)
    (wav,) = fed(path, latent=drawn[0], label=drawn[1])
    torch.testing.assert_close(wav, vocoder.sample(4, seed=2), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_waveglow_takes_its_bias_away_in_the_graph(tmp_path: Path) -> None:
    """Matrices are inverted before the export; the denoiser's transforms are part of it."""
    mel = MelSpec.preset("tacotron2").model_copy(update={"n_mels": 8})
    vocoder = small("waveglow", mel=mel, denoise=0.5, flows=2, layers=1)
    assert isinstance(vocoder, WaveGlow)
    for coupling in vocoder.couplings:
        torch.nn.init.normal_(coupling.end.weight, std=0.05)  # type: ignore[union-attr, arg-type]
    graph = waveform_graph(vocoder)
    write_onnx(graph, tmp_path / "v.onnx", ExportMetadata.of(vocoder, graph, 0))
    assert require_parity(graph, open_session(tmp_path / "v.onnx"), 2, 31, seed=9) < 1e-4


@pytest.mark.slow
def test_a_trained_vocoder_exports_as_its_folded_self(
    hifigan: tuple[Path, ExportMetadata], tmp_path: Path
) -> None:
    vocoder = small("hifigan")
    vocoder.prepare_for_training()  # weight norm on every layer
    export_vocoder(vocoder, tmp_path / "v.onnx")
    mel = torch.randn(1, 8, 6)
    torch.testing.assert_close(
        fed(tmp_path / "v.onnx", mel=mel), fed(hifigan[0], mel=mel), rtol=0, atol=1e-5
    )
    assert vocoder.in_training


@pytest.mark.slow
def test_a_gain_is_undone_in_the_graph_and_pre_emphasis_is_refused(tmp_path: Path) -> None:
    mel = tiny.SPEC.model_copy(update={"target_steps": (Gain(factor=0.5),)})
    vocoder = small("hifigan", mel=mel)
    _, worst = export_vocoder(vocoder, tmp_path / "v.onnx")
    assert worst < 1e-5
    steps = (PreEmphasis(coefficient=0.9),)
    vocoder = small("hifigan", mel=tiny.SPEC.model_copy(update={"target_steps": steps}))
    with pytest.raises(WavewrightError, match=r"target_steps of its mel \(preemphasis\)"):
        export_vocoder(vocoder, tmp_path / "w.onnx")


@pytest.mark.slow
def test_the_file_says_all_that_is_known(hifigan: tuple[Path, ExportMetadata]) -> None:
    path, about = hifigan
    found = metadata(path)
    assert found.keys() == ExportMetadata.model_fields.keys()
    assert MelSpec.model_validate(json.loads(found["mel"])) == tiny.SPEC
    assert found["mel_fingerprint"] == tiny.SPEC.fingerprint
    assert (found["vocoder"], found["step"]) == ("hifigan", "7")
    assert (found["sample_rate"], found["hop_length"]) == ("8000", "16")
    config = find("vocoders", "hifigan").Config.model_validate(json.loads(found["config"]))
    assert config == small("hifigan").config
    assert json.loads(found["inputs"])[0]["shape"] == ["batch", 8, "frames"]
    session = open_session(path)
    assert session.get_inputs()[0].shape == ["batch", 8, "frames"]
    assert session.get_outputs()[0].shape == ["batch", "frames * 16"]
    assert ExportMetadata.model_validate(about.model_dump()) == about


@pytest.mark.slow
def test_the_file_tells_nothing_of_this_machine(hifigan: tuple[Path, ExportMetadata]) -> None:
    assert str(Path(__file__).parents[2]).encode() not in hifigan[0].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["hifigan", "wavegan", "parallel_wavegan"])
def test_the_snippet_runs(which: str, request: pytest.FixtureRequest) -> None:
    path, about = request.getfixturevalue(which)
    wav = in_a_fresh_namespace(onnxruntime_snippet(path, about))["wav"]
    frames = 100 * 16
    assert wav.shape == (1, 256 if which == "wavegan" else frames)
    assert np.isfinite(wav).all()


@pytest.mark.slow
def test_for_sherpa_onnx_vocos_gives_its_spectra(tmp_path: Path) -> None:
    vocoder = small("vocos", mel=CENTRED)
    assert isinstance(vocoder, Vocos)
    about, _ = export_vocoder(vocoder, tmp_path / "v.onnx", form="sherpa-onnx")
    found = metadata(tmp_path / "v.onnx")
    assert found.keys() == ExportMetadata.model_fields.keys() | SpectrumFields.model_fields.keys()
    expected = {
        "model_type": "vocos",
        "n_fft": "64",
        "hop_length": "16",
        "win_length": "64",
        "center": "1",
        "normalized": "0",
        "window_type": "hann",
        "pad_mode": "reflect",
    }
    assert {key: found[key] for key in expected} == expected
    mel = torch.randn(1, 8, 12)
    magnitude, cosine, sine = fed(tmp_path / "v.onnx", mel=mel)
    assert [port.name for port in about.outputs] == ["mag", "x", "y"]
    assert magnitude.shape == (1, 33, 12)
    # As sherpa-onnx inverts it: centred, so that a hop is missing at the end.
    spectrum = magnitude * torch.complex(cosine, sine)
    wav = torch.istft(spectrum, 64, 16, window=torch.hann_window(64), center=True)
    whole = vocoder.generate(mel)
    torch.testing.assert_close(wav, whole[:, : wav.shape[1]], rtol=0, atol=1e-5)
    assert whole.shape[1] - wav.shape[1] == 16


@pytest.mark.slow
def test_for_sherpa_onnx_others_give_a_waveform(tmp_path: Path) -> None:
    path = tmp_path / "v.onnx"  # this Vocos has frames that are not centred
    about, _ = export_vocoder(small("vocos"), path, form="sherpa-onnx")
    found = metadata(path)
    assert found.keys() == ExportMetadata.model_fields.keys() | WaveformFields.model_fields.keys()
    assert found["model_type"] == "hifigan"
    assert len(about.inputs) == len(about.outputs) == 1
    compile(sherpa_onnx_snippet(path, about), "snippet", "exec")


@pytest.mark.parametrize("name", ["parallel_wavegan", "waveglow", "wavegan"])
def test_for_sherpa_onnx_more_than_a_mel_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="nothing but a mel: it is driven by"):
        export_vocoder(small(name), tmp_path / "v.onnx", form="sherpa-onnx")


def test_those_that_cannot_name_those_that_can(tmp_path: Path) -> None:
    names = FIRST_PARTY["vocoders"]
    able = [name for name in names if issubclass(find("vocoders", name), Exportable)]
    assert {"hifigan", "melgan", "multiband_melgan", "vocos", "bigvgan"} <= set(able)
    assert {"waveglow", "wavegan"} <= set(able)
    for name in ("griffinlim", "wavenet", "wavernn", "wavenet:unconditional"):
        with pytest.raises(WavewrightError, match=f"'{name}' cannot.*{', '.join(able)}"):
            export_vocoder(small(name), tmp_path / "v.onnx")


@pytest.mark.slow
def test_a_file_that_says_something_else_is_not_published(
    hifigan: tuple[Path, ExportMetadata], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder = small("hifigan")
    monkeypatch.setattr(onnx_files, "_convert", lambda _: onnx.load(hifigan[0]))
    graph = waveform_graph(vocoder)
    given, expected = graph.trial(1, 5, 0)
    wrong = [value + 0.001 for value in expected]
    path = tmp_path / "v.onnx"
    path.write_bytes(b"what was there")
    bad = type(graph)(**{**vars(graph), "trial": lambda *_: (given, wrong)})
    with pytest.raises(WavewrightError, match=r"differ by 0.001, allowed is 0.0001"):
        write_onnx(bad, path, ExportMetadata.of(vocoder, graph, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["v.onnx"]
    assert path.read_bytes() == b"what was there"
    monkeypatch.undo()
    monkeypatch.setattr(onnx_files, "_MOST_BYTES", 100)
    with pytest.raises(WavewrightError, match="an ONNX file holds 2 GiB"):
        write_onnx(graph, path)


def test_without_the_extra_there_is_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    weights = root / "recipes/digits/weights/wavegan-small.safetensors"
    with pytest.raises(MissingExtra, match=r"pip install 'wavewright\[onnx\]'"):
        export_file(weights, tmp_path / "v.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "samples"),
    [("digits/weights/wavegan-small", 16384), ("kathleen/weights/hifigan-v3", 25600)],
)
def test_shipped_weights_export_and_print_lines_that_run(
    weights: str, samples: int, tmp_path: Path, root: Path
) -> None:
    file = root / "recipes" / f"{weights}.safetensors"
    said = export_file(file, tmp_path / "deep" / "v.onnx")
    first, _, snippet = said.partition("\n\n")
    assert "ONNX Runtime and PyTorch differ by" in first
    assert in_a_fresh_namespace(snippet)["wav"].shape == (1, samples)
    assert int(metadata(tmp_path / "deep" / "v.onnx")["step"]) > 0
