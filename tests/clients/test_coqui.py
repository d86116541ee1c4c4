"""Coqui TTS's Synthesizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.clients.support import Answers, recording, require_like_copy, run_client, weights


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("coqui")
    return run_client("coqui", folder, recording=recording(shared), weights=weights("coqui"))


def test_its_features_of_a_recording_are_spoken_as_ours_are(answers: Answers, shared: Path) -> None:
    require_like_copy(answers["copied"], recording(shared), weights("coqui"))


def test_it_speaks(answers: Answers) -> None:
    assert answers["rate"] == 22050
    assert answers["said"].ndim == 1
    assert np.isfinite(answers["said"].astype(float)).all()
    assert len(answers["said"]) > 256


def test_the_base_of_the_logarithm_is_read_not_guessed(answers: Answers) -> None:
    """A recording gives the same waveform with configurations of either logarithm."""
    np.testing.assert_allclose(answers["copied_natural"], answers["copied"], rtol=0, atol=1e-3)


def test_other_bands_are_refused(answers: Answers) -> None:
    assert "fmax 8000.0 vs 11025.0" in str(answers["narrow"])
