"""Coqui TTS's Synthesizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.interop.support import Answers, recording, require_like_copy, run_client, weights


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("coqui")
    return run_client("coqui", folder, recording=recording(shared), weights=weights("coqui"))


def test_its_features_of_a_recording_are_spoken_as_ours_are(
    answers: Answers, shared: Path
) -> None:
    require_like_copy(answers["copied"], recording(shared), weights("coqui"))


def test_it_speaks(answers: Answers) -> None:
    assert answers["rate"] == 22050
    assert answers["said"].ndim == 1
    assert np.isfinite(answers["said"].astype(float)).all()
    assert len(answers["said"]) > 256


def test_other_logarithms_and_bands_are_refused(answers: Answers) -> None:
    assert "fmax 8000.0 vs 11025.0" in str(answers["narrow"])
    # Converted, where it can be; here it cannot: the vocoder's mels are clipped.
    assert str(answers["natural"]) == ""
