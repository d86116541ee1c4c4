"""ESPnet's Text2Speech with Tacotron 2 and FastSpeech 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.clients.support import Answers, recording, require_like_copy, run_client, weights
from wavewright.errors import MelMismatch
from wavewright.interop.espnet import mel_spec_of_config
from wavewright.interop.exporting.export import export_file


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("espnet")
    export_file(weights("espnet"), folder / "for-pwg", form="parallel-wavegan")
    config = folder / "config.yaml"
    config.write_text(
        "feats_extract: fbank\n"
        "feats_extract_conf: {fs: 22050, n_fft: 1024, hop_length: 256, log_base: null}\n"
    )
    export_file(weights("espnet"), folder / "for-ln", form="parallel-wavegan", model=config)
    answers = run_client(
        "espnet",
        folder / "work",
        recording=recording(shared),
        weights=weights("espnet"),
        checkpoint=next((folder / "for-pwg").glob("*.pkl")),
        natural_checkpoint=next((folder / "for-ln").glob("*.pkl")),
    )
    # What it writes itself is read alike.
    assert mel_spec_of_config(folder / "work" / "natural" / "config.yaml") == mel_spec_of_config(
        config
    )
    wide = folder / "work" / "wide" / "config.yaml"
    with pytest.raises(MelMismatch, match=r"fmin 0\.0 vs 80\.0, fmax 8000\.0 vs 7600\.0"):
        export_file(weights("espnet"), folder / "no", form="parallel-wavegan", model=wide)
    return answers


@pytest.mark.parametrize("name", ["copied", "copied_natural", "copied_by_file", "blind"])
def test_its_features_of_a_recording_are_spoken_as_ours_are(
    answers: Answers, shared: Path, name: str
) -> None:
    require_like_copy(answers[name], recording(shared), weights("espnet"))


def test_the_base_of_the_logarithm_is_read_not_guessed(answers: Answers) -> None:
    """A recording gives the same waveform with models of either logarithm; by files too,
    where the command that writes them is told the model."""
    for name in ("copied_natural", "copied_natural_by_file"):
        np.testing.assert_allclose(answers[name], answers["copied"], rtol=0, atol=1e-3)


def test_neither_type_nor_file_changes_anything(answers: Answers) -> None:
    for name in ("copied_in_float64", "copied_by_file"):
        np.testing.assert_allclose(answers[name], answers["copied"], rtol=0, atol=1e-3)


def test_models_speak(answers: Answers) -> None:
    assert answers["rate"] == 22050
    for name in ("tacotron2", "fastspeech2", "by_file"):
        wav = answers[name]
        assert wav.ndim == 1
        assert len(wav) > 0
        assert len(wav) % 256 == 0
        assert np.isfinite(wav).all()


def test_mistakes_are_refused(answers: Answers) -> None:
    assert "those of speech in ln" in str(answers["natural_as_log10"])
    assert "fmin 0.0 vs 80.0, fmax 8000.0 vs 7600.0" in str(answers["other_band"])
    assert "prefer_normalized_feats=False" in str(answers["normalised"])
