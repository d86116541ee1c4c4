"""Detection of the toolkit that made the mels of a folder or manifest, and reading of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wavewright.errors import WavewrightError
from wavewright.gta.foreign import coqui, espnet, folder, nemo
from wavewright.gta.foreign.collection import MelCollection


class Toolkit(NamedTuple):
    """Detection and reading of one toolkit's output; `description` is for messages."""

    description: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], MelCollection]


#: The last two are tried only if no other matches.
TOOLKITS: dict[str, Toolkit] = {
    "espnet": Toolkit("ESPnet's or Kaldi's (feats.scp)", espnet.matches, espnet.read),
    "nemo": Toolkit("NeMo's (JSON lines with mel_filepath)", nemo.matches, nemo.read),
    "coqui": Toolkit("Coqui's (metada.txt of AUDIO|MEL)", coqui.matches, coqui.read),
    "fastpitch": Toolkit("a folder of .pt files", folder.has_tensors, folder.read_tensors),
    "folder": Toolkit("a folder of .npy files", folder.has_arrays, folder.read_arrays),
}
_BY_FILES = ("fastpitch", "folder")


def read_collection(source: Path) -> MelCollection:
    """Read the list of mels of a folder or manifest.

    Raises:
        WavewrightError: the path is missing, or matches no toolkit or several.
    """
    if not source.exists():
        raise WavewrightError(f"gta.source: {source}: no such folder or manifest")
    names = [
        name for name, kit in TOOLKITS.items() if name not in _BY_FILES and kit.matches(source)
    ]
    if len(names) > 1:
        kinds = " or ".join(TOOLKITS[name].description for name in names)
        raise WavewrightError(
            f"gta.source: {source}: could be {kinds}; "
            "give the one file that lists the mels instead of the folder"
        )
    names = names or [name for name in _BY_FILES if TOOLKITS[name].matches(source)][:1]
    if not names:
        raise WavewrightError(
            f"gta.source: {source}: no mels found; known are "
            f"{'; '.join(kit.description for kit in TOOLKITS.values())}"
        )
    return TOOLKITS[names[0]].read(source)
