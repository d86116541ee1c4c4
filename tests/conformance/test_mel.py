"""Both mel paths reproduce the official feature extractors on the recordings they were run on.

`log_mel` is given float32 waveforms, as in training, and computes in the arithmetic of the
extractors' authors: torch's float32, or the float64 of librosa's and NVIDIA's. The fast path is
float32 throughout. In float32 the Fourier transform's rounding, which differs from processor to
processor, shows in the quietest cells (tests/tolerances.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.support.tolerances import EPSILON, mel_tolerance
from wavewright.audio.files import load_wav
from wavewright.mel.spec import LOG_UNIT, MelSpec
from wavewright.mel.transform import log_mel
from wavewright.mel.transform_numpy import log_mel_numpy

UTTERANCES = ("LJ001_0001", "LJ001_0002", "LJ001_0008")
# Extractors of 24 kHz systems were run on 22,050 Hz recordings (params.json says so).
AT_22K = {"sample_rate": 22050, "fmax": 11025.0}
Floats = np.ndarray


def unchanged(wav: Floats) -> Floats:
    return wav


def peak_to_95_percent(wav: Floats) -> Floats:
    """What HiFi-GAN's training does to a whole file, and its inference does not."""
    scaled: Floats = (wav / np.abs(wav).max().astype(np.float64) * 0.95).astype(np.float32)
    return scaled


def trimmed_as_r9y9(wav: Floats) -> Floats:
    """Its preprocessing trims by librosa before it filters."""
    from librosa.effects import trim

    kept, _ = trim(wav, top_db=60, frame_length=2048, hop_length=512)
    return np.asarray(kept)


class Case(NamedTuple):
    """A fixture, and the preset that it must equal."""

    fixture: str
    preset: str
    changes: Mapping[str, Any] = MappingProxyType({})
    before: Callable[[Floats], Floats] = unchanged

    @property
    def spec(self) -> MelSpec:
        return MelSpec.preset(self.preset).model_copy(update=self.changes)


CASES = [
    Case("hifigan_fmax8000", "hifigan"),
    Case("hifigan_fmaxNone_loss", "hifigan-loss"),
    Case("hifigan_train_normalized", "hifigan", before=peak_to_95_percent),
    Case("nvidia_tacotron2_waveglow", "tacotron2"),
    Case("descript_melgan", "melgan"),
    Case("bigvgan_22khz_80band_fmax8k", "bigvgan-22k"),
    Case("bigvgan_100band_fmaxNone", "bigvgan-24k", AT_22K),
    Case("vocos_100band_center", "vocos-24k", AT_22K),
    Case("vocos_100band_same", "vocos-24k", {**AT_22K, "framing": "hop"}),
    Case("fatchord_wavernn", "wavernn"),
    Case("fatchord_wavernn_padreflect", "wavernn-reflect"),
    Case("pwg_logmelfilterbank", "parallel-wavegan"),
    Case("r9y9_wavenet_plain", "r9y9-plain"),
    Case("r9y9_wavenet_pipeline", "r9y9", before=trimmed_as_r9y9),
]
EACH = pytest.mark.parametrize("case", CASES, ids=[case.fixture for case in CASES])


@pytest.fixture(scope="module")
def tolerance(shared: Path) -> dict[str, float]:
    """Largest differences allowed, by what is compared."""
    known = json.loads((shared / "fixtures" / "README.json").read_text())["fixtures"]
    (mels,) = (entry for entry in known if entry["name"] == "mels")
    return dict(mels["tolerance_float32_max_abs"])


@pytest.fixture(scope="module")
def recordings(shared: Path) -> dict[str, Floats]:
    folder = shared / "corpora" / "ljspeech-mini" / "wavs"
    return {name: load_wav(folder / f"{name.replace('_', '-')}.wav")[0] for name in UTTERANCES}


def pairs(
    shared: Path, case: Case, recordings: dict[str, Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Per recording in the fixture: the waveform as analysed, and the official mel as stored."""
    official = np.load(shared / "fixtures" / "mels" / f"{case.fixture}.npz")
    found = [name for name in UTTERANCES if name in official]
    assert len(found) >= 2
    for name in found:
        yield case.before(recordings[name]), official[name]


def require_floor(found: Floats, official: Floats, spec: MelSpec) -> None:
    """Our mel has the official floor, if the official mel lies on it anywhere.

    To the logarithm's last bits, since nothing is added up there that could round.
    """
    lowest = float(official.min())
    if spec.guard == "clamp" and lowest <= np.log(spec.floor) * LOG_UNIT[spec.log] + 1e-5:
        assert float(found.min()) == pytest.approx(lowest, rel=4 * EPSILON)


def allowed(spec: MelSpec, tolerance: dict[str, float]) -> float:
    """The largest difference of a cell that is not quiet, in the unit of the mel."""
    return tolerance["ln/log10 mels" if spec.normalisation is None else "fatchord (0..1)"]


@EACH
def test_the_official_extractor_gives_the_same(
    shared: Path, recordings: dict[str, Floats], tolerance: dict[str, float], case: Case
) -> None:
    spec = case.spec
    for wav, official in pairs(shared, case, recordings):
        expected = torch.from_numpy(official)
        found = log_mel(torch.from_numpy(wav).requires_grad_(), spec).detach()
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        wrong = (found.double() - expected.double()).abs()
        if spec.in_float64:
            assert float(wrong.max()) <= allowed(spec, tolerance)
            continue
        require_floor(found.numpy(), official, spec)
        most = mel_tolerance(expected, spec, logarithmic=allowed(spec, tolerance))
        assert not int((wrong > most).sum())


@EACH
def test_the_fast_path_is_as_close(
    shared: Path, recordings: dict[str, Floats], tolerance: dict[str, float], case: Case
) -> None:
    spec = case.spec
    for wav, official in pairs(shared, case, recordings):
        found = log_mel_numpy(wav, spec)
        assert found.shape == official.shape
        require_floor(found, official, spec)
        wrong = np.abs(found.astype(np.float64) - official)
        most = mel_tolerance(
            torch.from_numpy(official), spec, logarithmic=allowed(spec, tolerance)
        ).numpy()
        assert not int((wrong > most).sum())
        assert wrong.mean() < 2e-5, "hardly any cell is quiet"


def test_every_official_extractor_is_accounted_for(shared: Path) -> None:
    """New fixtures must be added here."""
    present = {path.stem for path in (shared / "fixtures" / "mels").glob("*.npz")}
    assert present == {case.fixture for case in CASES}
