"""Virtual environments of the clients, beside the torch that we test with.

An environment lies in the user's cache, named by a digest of its recipe, and stays. One whose
making was cut off goes on at the step that it had come to.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from wavewright.io.files import cache_folder

ROOT = Path(__file__).resolve().parents[2]
#: What `wavewright` itself imports to load a vocoder and speak, beside torch.
WAVEWRIGHT = ("joblib", "librosa>=0.10.2", "pydantic>=2.7,<3", "safetensors", "scipy", "soundfile")


@dataclass(frozen=True)
class Recipe:
    """A client's installation.

    Attributes:
        installs: arguments of pip, one call after the other.
        constraints: of every call, besides torch's version.
        without: folders in site-packages that must not be there.
    """

    installs: tuple[tuple[str, ...], ...]
    constraints: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the recipe and of torch's and Python's versions."""
        facts = [asdict(self), WAVEWRIGHT, torch_pin(), sys.version_info[:2]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


#: torchaudio's library needs CUDA's; without it the rest of the package works.
_TORCHAUDIO = ("torchaudio/lib",)

RECIPES: dict[str, Recipe] = {
    # Its sdist's setup.py imports pip, and its code scipy.signal.kaiser, which went in 1.13.
    "parallel_wavegan": Recipe(
        installs=(
            ("setuptools<81", "wheel"),
            ("numpy", "scipy", "torch", *WAVEWRIGHT),
            ("--no-build-isolation", "parallel_wavegan==0.6.1"),
        ),
        constraints=("numpy<2", "scipy<1.13", "setuptools<81"),
    ),
    "transformers": Recipe(installs=(("torch", "transformers==5.23.0", *WAVEWRIGHT),)),
    "sherpa_onnx": Recipe(
        installs=(("sherpa-onnx==2.0.1", "onnx>=1.17", "onnxruntime>=1.20", "soundfile"),)
    ),
    # It declares setuptools<74, torch 2.13 setuptools>=77; it imports torchaudio undeclared.
    "espnet": Recipe(
        installs=(
            ("setuptools>=77.0.3,<81", "wheel"),
            ("torch", *WAVEWRIGHT),
            ("--no-deps", "espnet==202511", "torchaudio==2.11.0"),
            (
                "asteroid_filterbanks==0.4.0", "ci_sdr", "configargparse>=1.2.1", "editdistance",
                "espnet_tts_frontend", "fast-bss-eval==0.1.3", "filelock", "h5py", "humanfriendly",
                "hydra-core", "importlib-metadata<5.0", "jamo==0.4.1", "kaldiio>=2.18.0",
                "lightning", "nltk>=3.4.5", "numpy>=2.0.0", "opt-einsum", "packaging", "protobuf",
                "pypinyin<=0.44.0", "pyworld>=0.3.4", "PyYAML>=5.1.2", "sentencepiece==0.2.0",
                "torch_complex", "typeguard",
            ),
            # The same environment tries --vocoder_file.
            ("--no-deps", "--no-build-isolation", "parallel_wavegan==0.6.1"),
        ),
        constraints=("setuptools>=77.0.3,<81",),
        without=_TORCHAUDIO,
    ),
    # It wants torchaudio to be importable and torchcodec to be installed, but uses neither here.
    "coqui": Recipe(
        installs=(
            ("torch", *WAVEWRIGHT),
            ("--no-deps", "torchaudio==2.11.0", "torchcodec==0.13.0"),
            ("coqui-tts==0.28.0", "six"),
        ),
        without=_TORCHAUDIO,
    ),
    "nemo": Recipe(installs=(("torch", *WAVEWRIGHT), ("nemo_toolkit[tts]==3.0.0",))),
}  # fmt: skip


def torch_pin() -> str:
    """The line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def environment(client: str) -> Path:
    """The Python of a client's virtual environment, made unless it is there.

    Raises:
        RuntimeError: an installation failed; with the file that has pip's own words.
    """
    recipe = RECIPES[client]
    folder = cache_folder() / "interop" / f"{client}-{recipe.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with _alone(folder / "lock"):
        if not (folder / "complete").exists():
            _make(client, recipe, folder, python)
    return python


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(client: str, recipe: Recipe, folder: Path, python: Path) -> None:
    done = folder / "steps"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=False)
        done.write_text("0")
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join((torch_pin(), *recipe.constraints)) + "\n")
    for number, install in enumerate(recipe.installs):
        if number < int(done.read_text()):
            continue
        print(f"{client}: pip install {' '.join(install)}", flush=True)
        _pip(python, folder, "install", "-c", str(constraints), *install)
        done.write_text(str(number + 1))
    for name in recipe.without:
        for found in (folder / "lib").glob(f"python*/site-packages/{name}"):
            shutil.rmtree(found)
    (folder / "complete").touch()


def _pip(python: Path, folder: Path, *arguments: str) -> None:
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    with (folder / "pip.log").open("a") as log:
        code = subprocess.run(
            [python, "-m", "pip", *arguments], env=inherited, stdout=log, stderr=log
        ).returncode
    if code:
        raise RuntimeError(f"pip {' '.join(arguments)} failed; its words are in {log.name}")


if __name__ == "__main__":
    for name in sys.argv[1:] or RECIPES:
        print(environment(name))
