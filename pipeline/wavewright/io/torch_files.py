"""Open files that torch.save wrote, after checking that they are plain pickles of tensors.

torch.load chooses the reader of a file before any unpickler is involved. An archive that holds
`constants.pkl` goes to torch.jit.load, which runs code of the archive; a tar archive is unpacked
to the disk; a path that ends in .safetensors goes to another library. So every file is inspected
first, without unpickling anything, and torch.load gets the inspected stream.
"""

from __future__ import annotations

import itertools
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import torch
from torch.serialization import MAGIC_NUMBER

from wavewright.errors import WavewrightError

TorchFileKind = Literal["checkpoint", "mel", "training state"]
_REMEDY: dict[TorchFileKind, str] = {
    "checkpoint": "where the model comes from, save torch.save(model.state_dict(), FILE)",
    "mel": "where it comes from, save torch.save(mel, FILE)",
    "training state": "take the file that the training wrote",
}
#: The members of torch.save's archives, after the folder that all of them are in.
_MEMBER = re.compile(
    r"data\.pkl|data/[^/]*|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(serialization_id)?|"
)
#: Other kinds of archives: pattern of a member that only they have, and their description.
_KINDS = (
    (
        r"(.*[/\\])?(constants\.pkl|bytecode\.pkl|code[/\\].*)",
        "a TorchScript archive, which runs code of its own when it is opened",
    ),
    (
        r"(.*/)?\.data/(extern_modules|python_version)",
        "a package of torch.package, which holds code",
    ),
    (
        r"(.*/)?(archive_format|models/.*\.json|data/aotinductor/.*)",
        "a program of torch.export, which may hold compiled code",
    ),
)
_WEIGHTS = (".pyt", ".pt", ".pth", ".ckpt", ".pkl", ".bin", ".safetensors")
_LEGACY_TAR = {"storages", "tensors", "pickle"}


@contextmanager
def open_torch_file(path: Path, what: TorchFileKind = "checkpoint") -> Iterator[BinaryIO]:
    """Open a file for torch.load, refusing what torch would not hand to the unpickler.

    Args:
        path: the file.
        what: kind of file expected, for messages.

    Yields:
        The stream at its beginning. Pass it, not the path, to torch.load, with a safe unpickler.

    Raises:
        WavewrightError: it is missing, is no archive or stream of torch.save's, or would unpack to
            far more than it is.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise WavewrightError(f"{path}: no such file") from None
    except OSError as error:
        raise WavewrightError(f"{path}: not readable ({error})") from error
    with file:
        if file.read(4) == b"PK\3\4":  # the test by which torch tells its two formats apart
            _require_plain_archive(path, file, what)
        else:
            _require_plain_stream(path, file, what)
        file.seek(0)
        yield file


def _require_plain_archive(path: Path, file: BinaryIO, what: TorchFileKind) -> None:
    """Refuse a zip archive with any member that torch.save does not write."""
    damaged = f"{path}: is no {what} that torch.save wrote, or is damaged"
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except Exception as error:  # of any kind: the table of a hostile archive may hold anything
        raise WavewrightError(f"{damaged} ({_first_line(error)})") from error
    inside = [_within(member.filename) for member in members]
    _require_known(path, [member.filename for member in members], inside, what)
    _require_no_bomb(path, file, sum(member.file_size for member in members))
    file.seek(0)
    try:  # torch's own reader decides, so check the names that it finds
        records = torch._C.PyTorchFileReader(file).get_all_records()
    except Exception as error:
        raise WavewrightError(f"{damaged} ({_first_line(error)})") from error
    _require_known(path, records, records, what)
    if sorted(records) != sorted(inside):
        raise WavewrightError(f"{damaged} (two readers of archives find different members in it)")


def _within(name: str) -> str:
    """Name of a member without the archive's top folder."""
    return name.partition("/")[2] if "/" in name else name


def _require_known(path: Path, names: list[str], inside: list[str], what: TorchFileKind) -> None:
    strange = [name for name in inside if not _MEMBER.fullmatch(name)]
    if "data.pkl" in inside and not strange:
        return
    for pattern, kind in _KINDS:
        for name in strange:
            if re.fullmatch(pattern, name, re.IGNORECASE):
                raise _refusal(path, f"{kind} (it has {name[:80]})", what)
    weights = [name for name in names if name.endswith(_WEIGHTS) and not name.endswith("data.pkl")]
    if "data.pkl" not in inside and weights:
        raise WavewrightError(f"{path}: an archive that holds {weights[0]}; unpack and import that")
    finding = f"with '{strange[0][:80]}' in it" if strange else "without data.pkl"
    raise _refusal(path, f"a zip archive {finding}, such as torch.save does not write", what)


def _require_no_bomb(path: Path, file: BinaryIO, inside: int) -> None:
    """Refuse an archive that would unpack to more than four times its size."""
    size = file.seek(0, 2)
    if inside > 4 * size:
        raise WavewrightError(
            f"{path}: refused, its {size:,} bytes would unpack to {inside:,}; torch.save packs "
            "nothing"
        )


def _require_plain_stream(path: Path, file: BinaryIO, what: TorchFileKind) -> None:
    """Refuse a file without torch's legacy magic number, or one that is also a tar archive."""
    file.seek(0)
    head = file.read(64)
    members = _tar_members(file)
    if members is not None:
        _refuse_tar(path, members, what)
    if _begins_with_magic(head):
        return
    if head[:2] == b"\x1f\x8b":
        raise WavewrightError(
            f"{path}: a file packed by gzip, as .nemo and .tar.gz may be; unpack it and import the "
            f"{what} in it"
        )
    if head[8:9] == b"{":
        finding = "it looks like a safetensors file: name it so"
    elif head[:1] == b"\x80":
        finding = "it is a pickle, but not one of torch.save's"
    else:
        finding = f"it begins with {head[:8]!r}" if head else "the file is empty"
    raise WavewrightError(f"{path}: is no {what} that torch.save wrote, or is damaged ({finding})")


def _begins_with_magic(head: bytes) -> bool:
    """True if the first pickle is torch.save's magic number and nothing else."""
    numbers = []
    try:
        for opcode, argument, _ in pickletools.genops(head):
            if opcode.name in ("LONG", "LONG1"):
                numbers.append(argument)
            elif opcode.name == "STOP":
                return numbers == [MAGIC_NUMBER]
            elif opcode.name not in ("PROTO", "FRAME"):
                return False
    except ValueError:
        pass
    return False


def _tar_members(file: BinaryIO) -> list[str] | None:
    """Names of a tar archive's first members; None if torch would not take it for a tar."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            return [member.name for member in itertools.islice(tar, 16)]
    except tarfile.TarError:
        return None
    except Exception:  # tarfile fails in many ways on files that only begin as an archive
        return []


def _refuse_tar(path: Path, members: Iterable[str], what: TorchFileKind) -> None:
    names = [name.removeprefix("./") for name in members]
    weights = next((name for name in names if name.endswith(_WEIGHTS)), "")
    if weights:
        raise WavewrightError(f"{path}: an archive that holds {weights}; unpack and import that")
    if set(names) >= _LEGACY_TAR:
        raise _refusal(path, "a tar archive as torch wrote before version 0.1.10", what)
    raise _refusal(path, "a tar archive", what)


def _refusal(path: Path, finding: str, what: TorchFileKind) -> WavewrightError:
    return WavewrightError(
        f"{path}: refused, it is {finding}; nothing of it was run. Only tensors that torch.save "
        f"pickled are read: {_REMEDY[what]}"
    )


def _first_line(error: Exception) -> str:
    reason = next(iter(str(error).splitlines()), "").partition(". This ")[0]
    return f"{type(error).__name__}: {reason}"
