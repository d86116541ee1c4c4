"""Vocoders trained within ESPnet's models, saved by its own classes, say the same imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clients.support import Answers, recording, run_client
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.errors import WavewrightError
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.mel.transform import log_mel
from wavewright.models.vocoder import Vocoder
from wavewright.training.init_from import InitFrom

#: Name of a case, and parameters with weight norm folded, where the size is an official one.
CASES = {
    "hifigan-small": None,
    "hifigan": 13_926_017,
    "hifigan-24k": None,
    "melgan-small": None,
    "melgan": 4_260_257,
    "parallel-wavegan-small": None,
    "parallel-wavegan": 1_334_309,
}
FILE = "train.total_count.best.pth"


@pytest.fixture(scope="module")
def joint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """Folders as ESPnet's training leaves them, and what its classes say."""
    folder = tmp_path_factory.mktemp("joint")
    said = run_client("espnet", folder, script="espnet_joint", recording=recording(shared))
    return folder, said


@pytest.mark.parametrize("case", CASES)
def test_a_joint_models_vocoder_says_what_espnet_says(
    joint: tuple[Path, Answers], tmp_path: Path, case: str
) -> None:
    folder, said = joint
    out = tmp_path / "imported.safetensors"
    made = import_checkpoint(folder / case / FILE, out=out)
    assert made.configuration == "config.yaml"
    assert CASES[case] in (None, made.model.parameter_count())
    vocoder = load_vocoder(out)
    theirs = {key.partition("/")[2]: v for key, v in said.items() if key.startswith(f"{case}/")}
    mel = log_mel(torch.from_numpy(theirs["speech"]), vocoder.mel_spec)[:, :20]
    np.testing.assert_allclose(mel.numpy(), theirs["feats"], rtol=0, atol=2e-3)
    given = torch.from_numpy(theirs["feats"])[None]
    noise = [torch.from_numpy(theirs["noise"])[None]] if "wavegan" in case else []
    with torch.no_grad():
        wav = vocoder.synthesize_frames(given, *noise)[0].numpy()
    assert np.abs(wav).max() > 1e-3
    np.testing.assert_allclose(wav, theirs["wav"], rtol=0, atol=1e-5)
    _require_judged_alike(vocoder, out, theirs["speech"], theirs["scores"])


def _require_judged_alike(
    vocoder: Vocoder, out: Path, speech: np.ndarray, scores: np.ndarray
) -> None:
    """Its discriminators, as a training would start with them."""
    InitFrom(out).apply(vocoder)
    discriminator = vocoder.discriminators["discriminator"].eval()
    wav = torch.from_numpy(speech)[None, :8192]
    with torch.no_grad():
        judged = discriminator(wav)
    ours = [judged] if isinstance(judged, torch.Tensor) else judged[0]
    if vocoder.name == "hifigan":  # its scales come first there
        ours = ours[5:] + ours[:5]
    found = torch.cat([score.flatten() for score in ours]).numpy()
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vits", "driven by 192 latent channels"),
        ("jets", "driven by 8 hidden features"),
        ("style_melgan", "is a StyleMelGAN, which is not among ours"),
    ],
)
def test_what_no_mel_drives_is_refused(joint: tuple[Path, Answers], name: str, words: str) -> None:
    with pytest.raises(WavewrightError, match=words) as caught:
        import_checkpoint(joint[0] / name / FILE)
    assert "\n" not in str(caught.value)
