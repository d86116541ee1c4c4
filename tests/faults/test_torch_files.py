"""Files that torch.load would not hand to the unpickler: refused, and nothing of them is run."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.package.package_exporter import PackageExporter
from torch.serialization import MAGIC_NUMBER

from tests.support.official_files import State, in_generator, official_file, small_hifigan
from wavewright.checkpoints.checkpoint import load_training
from wavewright.checkpoints.pickle_reader import read_pickled_checkpoint
from wavewright.doctor.examine import examine
from wavewright.errors import WavewrightError
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.io.torch_files import open_torch_file
from wavewright.mel.files import read_array

Rename = Callable[[str], str]


class Writer(nn.Module):
    """Writes a file where it is loaded, and is otherwise an identity with one weight."""

    def __init__(self, loot: str) -> None:
        super().__init__()
        self.loot = loot
        self.weight = torch.ones(3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return (self.loot, self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.loot, self.weight, self.training = state
        torch.save(self.weight, self.loot)


class Around(nn.Module):
    """Has a scripted part, as a traced module may."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.part(x)
        return found + 1


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Path]]:
    """TorchScript archives of every kind, and the file that loading one writes."""
    folder = tmp_path_factory.mktemp("torchscript")
    made, jit = {}, torch.jit.__dict__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ("scripted", "traced", "lite"):
            loot, path = folder / f"{kind}.loot", folder / f"{kind}.pt"
            scripted = jit["script"](Writer(str(loot)))
            if kind == "scripted":
                scripted.save(str(path))
            elif kind == "traced":
                jit["trace"](Around(scripted), torch.ones(3)).save(str(path))
            else:
                scripted._save_for_lite_interpreter(str(path))
            made[kind] = path.read_bytes(), loot
    return made


@pytest.fixture(params=["scripted", "traced", "lite"])
def hostile(
    request: pytest.FixtureRequest, archives: dict[str, tuple[bytes, Path]]
) -> Iterator[bytes]:
    """The bytes of an archive whose code must not have run by the end of the test."""
    data, loot = archives[request.param]
    loot.unlink(missing_ok=True)
    yield data
    assert not loot.exists(), "code of the file was run"


@pytest.mark.parametrize("kind", ["scripted", "traced"])
def test_these_files_are_hostile(
    tmp_path: Path, archives: dict[str, tuple[bytes, Path]], kind: str
) -> None:
    """Else the tests below would show nothing."""
    data, loot = archives[kind]
    loot.unlink(missing_ok=True)
    (tmp_path / "model.pt").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(tmp_path / "model.pt", pickle_module=pickle, weights_only=False)
    assert loot.exists()
    loot.unlink()


def rewritten(data: bytes, rename: Rename, **options: Any) -> bytes:
    """A zip archive with other names for its members; without those whose new name is empty."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(made, "w", **options) as new:
        for member in given.infolist():
            if name := rename(member.filename):
                new.writestr(name, given.read(member))
    return made.getvalue()


def refused(path: Path, message: str, read: Callable[[Path], Any] = import_checkpoint) -> None:
    before = sorted(path.parent.iterdir())
    with pytest.raises(WavewrightError, match=message) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < len(str(path)) + 400
    assert sorted(path.parent.iterdir()) == before


SCRIPT = "refused, it is a TorchScript archive"
NAMES = [
    "model.pt", "g_02500000", "model.pkl", "model.ckpt", "model.pth", "model.bin", "model.tar",
    "model.nemo", "model.pt2", "model.SAFETENSORS",
]  # fmt: skip


@pytest.mark.parametrize(
    ("hostile", "name"),
    [("scripted", name) for name in NAMES]
    + [(kind, name) for kind in ("traced", "lite") for name in NAMES[:3]],
    indirect=["hostile"],
)
def test_a_torchscript_archive_is_refused_by_any_name(
    tmp_path: Path, hostile: bytes, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(hostile)
    refused(path, rf"{SCRIPT}.*save torch\.save\(model\.state_dict\(\), FILE\)$")
    refused(path, SCRIPT, read_pickled_checkpoint)


def test_one_named_safetensors_is_refused(tmp_path: Path, hostile: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(hostile)
    refused(path, "not a readable safetensors file")
    refused(path, SCRIPT, read_pickled_checkpoint)


@pytest.mark.parametrize(
    "rename",
    [
        str.upper,
        str.lower,
        lambda name: name.replace("constants.pkl", "Constants.PKL"),
        lambda name: f"outer/{name}",
        lambda name: f"outer/outer/{name}",
        lambda name: f"/{name}",
        lambda name: f"./{name}",
        lambda name: f"../{name}",
        lambda name: name.partition("/")[2],
        lambda name: "ü %s/" + name.partition("/")[2],
        lambda name: "constants.pkl/" + name.partition("/")[2],
        lambda name: "data/" + name.partition("/")[2],
        lambda name: name.replace("/", "\\"),
        lambda name: "" if "constants" in name else name,
        lambda name: "" if "/code/" in name else name,
        lambda name: name if "constants" in name or name.endswith(("data.pkl", "version")) else "",
        lambda name: name if "/code/" not in name else f"else/{name}",
    ],
)
@pytest.mark.parametrize(
    ("hostile", "packing"),
    [
        ("scripted", zipfile.ZIP_STORED),
        ("scripted", zipfile.ZIP_DEFLATED),
        ("traced", zipfile.ZIP_DEFLATED),
        ("lite", zipfile.ZIP_STORED),
    ],
    indirect=["hostile"],
)
def test_names_within_an_archive_hide_nothing(
    tmp_path: Path, hostile: bytes, rename: Rename, packing: int
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(rewritten(hostile, rename, compression=packing))
    for read in (import_checkpoint, read_pickled_checkpoint):
        refused(path, "refused, |is no checkpoint that torch.save wrote", read)
    refused(path.rename(tmp_path / "mel.pt"), "refused, |is no mel that torch", read_array)


def test_members_of_a_checkpoint_hide_no_archive(tmp_path: Path, hostile: bytes) -> None:
    """Both in one: all that torch.save writes, and the members that torch.jit.load goes by."""
    path = official_file(tmp_path, small_hifigan(), in_generator, "g_1")
    plain, both = path.read_bytes(), io.BytesIO()
    for first, second in ((plain, hostile), (hostile, plain)):
        both = io.BytesIO(rewritten(first, lambda name: "a/" + name.partition("/")[2]))
        with warnings.catch_warnings(), zipfile.ZipFile(both, "a") as archive:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in members(second):
                archive.writestr("a/" + name.partition("/")[2], data)
        path.write_bytes(both.getvalue())
        refused(path, SCRIPT)


def members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(member.filename, archive.read(member)) for member in archive.infolist()]


def test_two_archives_in_one_file_hide_nothing(tmp_path: Path, hostile: bytes) -> None:
    """Torch looks for the end of an archive otherwise than Python does."""
    path = official_file(tmp_path, small_hifigan(), in_generator, "g_1")
    plain = path.read_bytes()
    for length in (0, min(len(plain), 0xFFFF)):  # 0, or the second is the first one's comment
        path.write_bytes(hostile[:-2] + length.to_bytes(2, "little") + plain)
        with suppress(WavewrightError):  # the fixture sees to it that nothing has run
            import_checkpoint(path)
    path.write_bytes(plain + hostile)
    refused(path, "refused|is no checkpoint that torch.save wrote")


def test_where_readers_of_archives_differ_neither_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = official_file(tmp_path, small_hifigan(), in_generator, "g_1")

    class Another:
        def __init__(self, stream: object) -> None: ...

        def get_all_records(self) -> list[str]:
            return ["data.pkl", "version"]

    monkeypatch.setattr(torch._C, "PyTorchFileReader", Another)
    refused(path, "two readers of archives find different members")


def test_a_checkpoint_before_an_archive_is_read_as_torch_does(
    tmp_path: Path, hostile: bytes
) -> None:
    """A file that begins in the older format is never taken for an archive, whatever its end."""
    path = tmp_path / "g_1"
    torch.save(in_generator(small_hifigan()), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes() + hostile)
    assert import_checkpoint(path).format.name == "hifigan"
    path.write_bytes(b"\0" * 8 + hostile)
    refused(path, "is no checkpoint that torch.save wrote")


def test_one_beside_a_harmless_file_is_refused(tmp_path: Path, hostile: bytes) -> None:
    """Discriminators are read because they stand beside the generator."""
    pairs = [
        ("g_1", "do_1"),
        ("netG.pt", "netD.pt"),
        ("bigvgan_generator.pt", "bigvgan_discriminator_optimizer.pt"),
    ]
    for generator, beside in pairs:
        path = official_file(tmp_path, small_hifigan(), in_generator, generator)
        (tmp_path / beside).write_bytes(hostile)
        with pytest.raises(WavewrightError, match=rf"{beside}: {SCRIPT}"):
            import_checkpoint(path)
        named = path.rename(tmp_path / "alone.pt")
        with pytest.raises(WavewrightError, match=rf"{beside}: {SCRIPT}"):
            import_checkpoint(named, discriminators=tmp_path / beside)


@pytest.mark.parametrize(
    "beside",
    [
        ["config.json", "model_file.pth", "speakers.pth", "scale_stats.npy"],  # Coqui
        ["args.json", "scheduler.bin", "optimizer.bin", "random_states_0.pkl"],  # Amphion
        ["config.yml", "stats.npy", "stats.h5", "config.yaml", "hparams.json"],
    ],
)
def test_no_other_file_of_a_folder_is_run(
    tmp_path: Path, hostile: bytes, beside: list[str]
) -> None:
    path = official_file(tmp_path, small_hifigan(), in_generator, "pytorch_model.bin")
    for name in beside:
        (tmp_path / name).write_bytes(hostile)
    for given in (path, tmp_path):
        with suppress(WavewrightError):  # of a configuration that is no text
            import_checkpoint(given)
    path.write_bytes(hostile)
    with pytest.raises(WavewrightError, match=rf"pytorch_model\.bin: {SCRIPT}"):
        import_checkpoint(tmp_path)


@pytest.mark.parametrize("packing", ["", "gz"])
@pytest.mark.parametrize("name", ["model.nemo", "model.tar", "model.pt"])
def test_an_archive_of_nemo_that_holds_one_is_refused(
    tmp_path: Path, hostile: bytes, name: str, packing: str
) -> None:
    path, inside = tmp_path / name, tmp_path / "model_weights.ckpt"
    inside.write_bytes(hostile)
    with tarfile.open(path, "w:gz" if packing else "w") as tar:
        tar.add(inside, "./model_weights.ckpt")
    inside.unlink()
    if packing:
        refused(path, "packed by gzip, as .nemo and .tar.gz may be; unpack it and import")
    else:
        refused(path, "an archive that holds model_weights.ckpt; unpack and import that")


def test_an_archive_of_zip_that_holds_one_is_refused(tmp_path: Path, hostile: bytes) -> None:
    path = tmp_path / "model.zip"
    for name in ("latest_weights.pyt", "a/model.pt"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, hostile)
        refused(path, f"an archive that holds {name}; unpack and import that")
    path.write_bytes(gzip.compress(hostile))
    refused(path, "packed by gzip")


def test_mels_and_training_states_go_the_same_way(tmp_path: Path, hostile: bytes) -> None:
    for name in ("mel.pt", "mel.pth", "mel.PT"):
        path = tmp_path / name
        path.write_bytes(hostile)
        refused(path, rf"{SCRIPT}.*save torch\.save\(mel, FILE\)$", read_array)
        refused(path, SCRIPT, lambda path: examine(mel=path))
    path = tmp_path / "training.pt"
    path.write_bytes(hostile)
    refused(path, SCRIPT, lambda path: load_training(path.parent))


class _Numbered(pickle.Pickler):
    def persistent_id(self, value: object) -> int | None:
        return 1 if isinstance(value, Tensor) else None


def legacy_tar(path: Path, weight: Tensor, first: str = "") -> None:
    """A state dict as torch wrote it before version 0.1.10, after a member of another name."""
    sizes = ((1, 4), (0, 4), (len(weight), 8), (1, 8), (0, 8))  # axes, padding, shape, step, start
    storages = pickle.dumps(1, 2) + pickle.dumps((0, "cpu", torch.FloatStorage), 2)
    storages += len(weight).to_bytes(8, "little") + weight.numpy().tobytes() + pickle.dumps([], 2)
    tensors = pickle.dumps(1, 2) + pickle.dumps((1, 0, torch.Tensor), 2)
    tensors += b"".join(number.to_bytes(size, "little") for number, size in sizes)
    pickled = io.BytesIO()
    _Numbered(pickled, 2).dump({"weight": weight})
    parts = {first: b""} if first else {}
    parts |= {"storages": storages, "tensors": tensors, "pickle": pickled.getvalue()}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name", ["model.pt", "model.tar", "model.nemo"])
def test_a_tar_archive_of_old_is_refused(tmp_path: Path, name: str) -> None:
    path, weight = tmp_path / name, torch.arange(3.0)
    legacy_tar(path, weight)
    assert torch.load(path, weights_only=False)["weight"].equal(weight), "it is a whole one"
    refused(path, r"refused, it is a tar archive as torch wrote before version 0\.1\.10")


def test_a_tar_archive_that_begins_as_the_older_format_is_refused(tmp_path: Path) -> None:
    """The name of its first member is torch's number."""
    path, weight = tmp_path / "model.pt", torch.arange(3.0)
    number = pickle.dumps(MAGIC_NUMBER, 2)
    legacy_tar(path, weight, number.decode("utf-8", "surrogateescape"))
    assert path.read_bytes().startswith(number)
    assert torch.load(path, weights_only=False)["weight"].equal(weight), "torch takes it for a tar"
    refused(path, "refused, it is a tar archive")


def test_packages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), path)
    refused(path, r"refused, it is a program of torch\.export")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PackageExporter(tmp_path / "package.pt") as package:
            package.save_pickle("model", "model.pkl", {"weight": torch.ones(2)})
    refused(tmp_path / "package.pt", r"refused, it is a package of torch\.package")


def test_archives_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(2)}, path)
    plain = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/hook.py", "raise SystemExit")
    refused(path, r"with 'hook\.py' in it, such as torch\.save does not write")
    path.write_bytes(rewritten(plain, lambda name: "" if name.endswith("data.pkl") else name))
    refused(path, r"a zip archive without data\.pkl")
    path.write_bytes(rewritten(plain, lambda name: name.replace("data.pkl", "DATA.PKL")))
    refused(path, r"with 'DATA\.PKL' in it")
    np.savez(tmp_path / "model.npz", weight=np.ones(2))
    refused(tmp_path / "model.npz", r"is no checkpoint|with 'weight\.npy' in it|refused")
    path.write_bytes(safetensors.torch.save({"weight": torch.ones(2)}))
    refused(path, "looks like a safetensors file: name it so")
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    refused(path, r"it is a pickle, but not one of torch\.save's")
    path.write_bytes(pickle.dumps(MAGIC_NUMBER + 1, 2) + plain)
    refused(path, r"it is a pickle, but not one of torch\.save's")
    path.write_bytes(b"PK\3\4" + b"\0" * 200)
    refused(path, "is no checkpoint that torch.save wrote, or is damaged")
    path.write_bytes(b"\0" * 2048)
    refused(path, "refused, it is a tar archive|is no checkpoint")
    with pytest.raises(WavewrightError, match="no such file"), open_torch_file(tmp_path / "no.pt"):
        pass
    with pytest.raises(WavewrightError, match="not readable"), open_torch_file(tmp_path):
        pass


def older_file(body: bytes) -> bytes:
    """A file of the older format whose one object is a pickle of one's own."""
    head = (MAGIC_NUMBER, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in head) + body + pickle.dumps([], 2)


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


@pytest.mark.parametrize("name", ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"])
def test_a_pickle_changes_nothing_of_torchs_functions(tmp_path: Path, name: str) -> None:
    """Nor makes torch write a patch, as it does where the source of a container has changed."""
    path, loot = tmp_path / "model.pt", tmp_path / "loot"
    names = text("__name__") + text(str(loot)) + text("dump_patches") + b"\x88"
    changed = f"ctorch._utils\n{name}\n".encode() + b"N}(" + names + b"u\x86b"
    told = b"\x80\x02(" + text("module") + changed + text("source.py") + text("evil") + b"tQ."
    path.write_bytes(older_file(told))
    refused(path, "it sets attributes of a function")
    assert getattr(torch._utils, name).__name__ == name
    assert not hasattr(getattr(torch._utils, name), "dump_patches")


def test_a_class_named_as_one_of_ours_writes_no_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch finds a source for it, which is not what the file says it was."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    told = text("module") + b"cmodels\nContents\n" + text("source.py") + text("evil")
    path = tmp_path / "model.pt"
    path.write_bytes(older_file(b"\x80\x02(" + told + b"tQ."))
    with pytest.raises(WavewrightError, match="holds no state dict and no module"):
        read_pickled_checkpoint(path)
    assert list(Path.cwd().iterdir()) == []


def test_what_the_environment_forbids_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = official_file(tmp_path, small_hifigan(), in_generator, "g_1")
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    refused(path, "with TORCH_FORCE_WEIGHTS_ONLY_LOAD set")
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    assert import_checkpoint(path).format.name == "hifigan"


def test_the_archive_of_the_field_is_refused(
    tmp_path: Path, shared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = shared / "corpora" / "field-cases" / "checkpoints" / "torchscript_setstate.pt"
    if not given.is_file():
        pytest.skip(f"no {given}")
    path = official_file(tmp_path, small_hifigan(), in_generator, "g_1")
    shutil.copy(given, tmp_path / "do_1")
    for name in ("do_1", "g_1", "mel.pt"):
        read = read_array if name == "mel.pt" else import_checkpoint
        if name != "do_1":
            shutil.copy(given, tmp_path / name)
        with pytest.raises(WavewrightError, match=SCRIPT):
            read(path if name == "do_1" else tmp_path / name)
    assert "CODE OF THE FILE" not in "".join(capfd.readouterr())


def plain_files(state: State) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Files that must stay readable: every format in which torch.save has written checkpoints."""
    given = in_generator(state)
    for protocol in (2, 3, 4, 5):
        for zipped in (True, False):
            how: dict[str, Any] = {
                "pickle_protocol": protocol,
                "_use_new_zipfile_serialization": zipped,
            }
            yield f"protocol {protocol}, zip {zipped}", partial(torch.save, given, **how)

    def packed(path: Path, prefix: str, without: tuple[str, ...] = (), folders: str = "") -> None:
        torch.save(given, path)
        data, options = path.read_bytes(), {"compression": zipfile.ZIP_DEFLATED}
        path.write_bytes(rewritten(data, lambda name: _to(prefix, name, without), **options))
        with zipfile.ZipFile(path, "a") as archive:
            for folder in folders.split():
                archive.writestr(folder, "")

    said = (".format_version", ".storage_alignment", "byteorder", ".data/serialization_id")
    yield "of torch 1.6", partial(packed, prefix="archive", without=said)
    for prefix in ("constants.pkl", "code", "ü", "a b", "data"):
        yield f"within {prefix}", partial(packed, prefix=prefix)
    folders = "archive/ archive/data/"
    yield "packed again, with folders", partial(packed, prefix="archive", folders=folders)


def _to(prefix: str, member: str, without: tuple[str, ...]) -> str:
    return "" if member.endswith(without) else f"{prefix}/{member.partition('/')[2]}"


def test_plain_checkpoints_are_read(tmp_path: Path) -> None:
    state = small_hifigan()
    for said, write in plain_files(state):
        for name in ("g_1", "code.pt", "constants.pkl", "model.tar", "model.ckpt"):
            write(tmp_path / name)
            assert import_checkpoint(tmp_path / name).format.name == "hifigan", (said, name)


@pytest.mark.parametrize("zipped", [True, False])
def test_whole_modules_and_plain_mels_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(Around(nn.Linear(2, 2)), path, _use_new_zipfile_serialization=zipped)
    assert read_pickled_checkpoint(path).states[""].keys() == {"part.weight", "part.bias"}
    mel = torch.arange(6.0).reshape(2, 3)
    torch.save({"mel": mel}, path, _use_new_zipfile_serialization=zipped)
    assert np.array_equal(read_array(path), mel.numpy())
    torch.save({"step": 3, "mel": mel}, tmp_path / "training.pt")
    assert load_training(tmp_path)["step"] == 3
