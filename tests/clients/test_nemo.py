"""NeMo's FastPitch and its features, at 22.05 and 44.1 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.clients.support import Answers, recording, require_like_copy, run_client, weights

_RATES = {"22k": (22050, 256), "44k": (44100, 512)}


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return run_client(
        "nemo",
        tmp_path_factory.mktemp("nemo"),
        recording=recording(shared),
        weights={rate: str(weights(f"nemo-fastpitch-{rate}")) for rate in _RATES},
    )


@pytest.mark.parametrize("rate", _RATES)
def test_its_features_of_a_recording_are_spoken_as_ours_are(
    answers: Answers, shared: Path, rate: str
) -> None:
    """But for the last frame, which NeMo has overwritten and the adapter cuts off."""
    assert answers[f"{rate}_padded"] == answers[f"{rate}_missing"] == 1
    path = weights(f"nemo-fastpitch-{rate}")
    require_like_copy(answers[f"{rate}_copied"], recording(shared), path)


@pytest.mark.parametrize("rate", _RATES)
def test_models_speak(answers: Answers, rate: str) -> None:
    sample_rate, hop = _RATES[rate]
    assert set(answers[f"{rate}_sample_rate"]) == {sample_rate}
    wav = answers[f"{rate}_said"]
    assert wav.shape == (1, hop * answers[f"{rate}_frames"])
    assert np.isfinite(wav).all()


def test_mistakes_are_refused(answers: Answers) -> None:
    for rate in _RATES:
        assert "laid out (n_mels, frames)" in str(answers[f"{rate}_transposed"])
    assert "sample_rate 44100 vs 22050" in str(answers["other_rate"])
    assert "framing hop vs center" in str(answers["other_framing"])
    assert "those of speech in log10" in str(answers["log10"])
