"""SpeechT5, FastSpeech2Conformer and the pipeline of transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.clients.support import Answers, recording, require_like_copy, run_client, weights


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return run_client(
        "transformers",
        tmp_path_factory.mktemp("transformers"),
        recording=recording(shared),
        speecht5=weights("speecht5"),
        espnet=weights("espnet"),
    )


def test_speecht5s_mels_of_a_recording_are_spoken_as_ours_are(
    answers: Answers, shared: Path
) -> None:
    require_like_copy(answers["copied"], recording(shared), weights("speecht5"))
    require_like_copy(answers["copied_in_bfloat16"], recording(shared), weights("speecht5"))


def test_models_speak(answers: Answers) -> None:
    for name in ("said", "pipeline", "conformer"):
        wav = np.squeeze(answers[name])
        assert wav.ndim == 1, name
        assert len(wav) >= 256, name
        assert len(wav) % 256 == 0, name
        assert np.isfinite(wav).all(), name
    assert answers["batch"].shape == (2, max(answers["lengths"]))


def test_natural_logarithms_and_other_vocoders_are_refused(answers: Answers) -> None:
    assert "declared as log10" in str(answers["natural"])
    assert "those of speech in ln" in str(answers["natural"])
    assert "sample_rate 16000 vs 22050" in str(answers["other_vocoder"])
