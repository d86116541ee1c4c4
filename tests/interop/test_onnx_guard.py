"""An exported file that refuses mels in another logarithm by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from tests.support import tiny
from wavewright.audio.files import load_wav
from wavewright.errors import MelMismatch
from wavewright.interop.exporting.export import export_vocoder
from wavewright.interop.exporting.onnx import open_session
from wavewright.interop.exporting.onnx_guard import add_log_guard
from wavewright.interop.log_base import require_plausible_log
from wavewright.mel.spec import LOG_UNIT, MelSpec
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

LOGS = ("ln", "log10", "db")


def small(name: str, spec: MelSpec) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **{**tiny.SMALL[name], "mel": spec}).eval()


def refusal(session: Any, mel: Tensor) -> str:
    """Error of ONNX Runtime for a mel; empty if it runs."""
    try:
        session.run(None, {"mel": mel[None].numpy()})
    except Exception as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HiFi-GAN exported without the check."""
    path = tmp_path_factory.mktemp("unguarded") / "v.onnx"
    export_vocoder(small("hifigan", tiny.SPEC), path, form="sherpa-onnx", check=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("log", LOGS)
def test_the_file_refuses_what_adapters_refuse(log: str, unguarded: Path, tmp_path: Path) -> None:
    """Mels with the median and spread of speech in each logarithm, and many others."""
    spec = tiny.SPEC.model_copy(update={"log": log})
    model = onnx.load(unguarded)
    add_log_guard(model, spec)
    onnx.save(model, tmp_path / "v.onnx")
    session = open_session(tmp_path / "v.onnx")
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        unit = LOG_UNIT[LOGS[int(random.integers(3))]]
        middle, spread = unit * random.uniform(3, 9), unit * random.uniform(1, 4)
        frames = int(random.integers(1, int(0.4 * spec.sample_rate / spec.hop_length)))
        values = random.normal(-middle, spread, (spec.n_mels, frames)).astype(np.float32)
        mel = torch.from_numpy(values)
        said = refusal(session, mel)
        try:
            require_plausible_log(mel, spec, "a test")
        except MelMismatch as error:
            other = next(o for o in LOGS if f"those of speech in {o}" in str(error))
            assert f"looks like speech in {other}, and the vocoder wants {log}" in said
            refused += 1
        else:
            assert said == ""
    assert 5 < refused < 55


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hifigan", pytest.param("vocos", marks=pytest.mark.long)])
def test_what_passes_is_spoken_as_without_the_check(
    name: str, unguarded: Path, tmp_path: Path
) -> None:
    mel = torch.randn(1, 8, 60, generator=torch.Generator().manual_seed(1)) * 2 - 6
    paths = [tmp_path / "checked.onnx", unguarded]
    if name != "hifigan":
        paths[1] = tmp_path / "unchecked.onnx"
        export_vocoder(small(name, tiny.SPEC), paths[1], form="sherpa-onnx", check=False)
    export_vocoder(small(name, tiny.SPEC), paths[0], form="sherpa-onnx")
    answers = [open_session(path).run(None, {"mel": mel.numpy()}) for path in paths]
    for checked, unchecked in zip(*answers, strict=True):
        np.testing.assert_array_equal(checked, unchecked)
    sizes = [path.stat().st_size for path in paths]
    assert 0 < sizes[0] - sizes[1] < 10_000


@pytest.mark.slow
def test_recordings_pass_in_their_own_logarithm_only(shared: Path, tmp_path: Path) -> None:
    spec = MelSpec.preset("matcha")
    changes = {**tiny.SMALL["hifigan"], "mel": spec, "upsample_rates": (8, 8, 2, 2)}
    changes["upsample_kernel_sizes"] = (16, 16, 4, 4)
    torch.manual_seed(0)
    vocoder = create_vocoder("hifigan", **changes).eval()
    export_vocoder(vocoder, tmp_path / "v.onnx", form="sherpa-onnx")
    session = open_session(tmp_path / "v.onnx")
    files = sorted((shared / "corpora" / "ljspeech-mini").rglob("*.wav"))[:6]
    assert files
    for file in files:
        mel = log_mel(torch.from_numpy(load_wav(file, spec.sample_rate)[0]), spec)
        assert refusal(session, mel) == ""
        for log in ("log10", "db"):
            other = convert_mel(mel, spec, spec.model_copy(update={"log": log}))
            assert f"looks like speech in {log}, and the vocoder wants ln" in refusal(
                session, other
            )


@pytest.mark.slow
def test_normalised_mels_are_not_judged(tmp_path: Path) -> None:
    normalisation = {"kind": "range", "scale": 0.1, "shift": 1.0, "low": 0.0, "high": 1.0}
    spec = MelSpec.model_validate(
        {**tiny.SPEC.non_default_fields(), "normalisation": normalisation}
    )
    export_vocoder(small("hifigan", spec), tmp_path / "v.onnx", form="sherpa-onnx")
    mel = torch.randn(8, 300, generator=torch.Generator().manual_seed(1)) * 2 - 6
    assert refusal(open_session(tmp_path / "v.onnx"), mel / 2.3) == ""
