"""Which toolkit made the mels of a folder or manifest, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wavewright.errors import WavewrightError
from wavewright.gta.foreign import coqui, espnet, folder, nemo
from wavewright.gta.foreign.collection import Collection


class Toolkit(NamedTuple):
    """How a toolkit's output is told and read; `about` completes "this is ..."."""

    about: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], Collection]


#: The last two are told only where none of the others is.
TOOLKITS: dict[str, Toolkit] = {
    "espnet": Toolkit("ESPnet's or Kaldi's (feats.scp)", espnet.matches, espnet.read),
    "nemo": Toolkit("NeMo's (JSON lines with mel_filepath)", nemo.matches, nemo.read),
    "coqui": Toolkit("Coqui's (metada.txt of AUDIO|MEL)", coqui.matches, coqui.read),
    "fastpitch": Toolkit("a folder of .pt files", folder.has_tensors, folder.read_tensors),
    "folder": Toolkit("a folder of .npy files", folder.has_arrays, folder.read_arrays),
}
_BY_FILES = ("fastpitch", "folder")


def read_collection(source: Path) -> Collection:
    """All mels of a folder or manifest.

    Raises:
        WavewrightError: nothing there, none of the known kinds, or several of them.
    """
    if not source.exists():
        raise WavewrightError(f"gta.source: {source}: no such folder or manifest")
    told = [name for name, kit in TOOLKITS.items() if name not in _BY_FILES and kit.matches(source)]
    if len(told) > 1:
        raise WavewrightError(
            f"gta.source: {source}: could be {' or '.join(TOOLKITS[name].about for name in told)}; "
            "give the one file that lists the mels instead of the folder"
        )
    told = told or [name for name in _BY_FILES if TOOLKITS[name].matches(source)][:1]
    if not told:
        raise WavewrightError(
            f"gta.source: {source}: no mels found; known are "
            f"{'; '.join(kit.about for kit in TOOLKITS.values())}"
        )
    return TOOLKITS[told[0]].read(source)
