"""Disks that are full or read-only, and limits on files, memory and shared memory."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.faults.conftest import MakeDisk, call, obey_modes, said
from tests.recipes.conftest import Toy
from tests.recipes.test_runner import ALL
from tests.recipes.test_scale import RECIPE as TONES
from tests.support import tiny
from wavewright.audio.files import save_wav, wav_writer
from wavewright.checkpoints.checkpoint import (
    latest_checkpoint,
    load_training,
    load_vocoder,
    save_checkpoint,
)
from wavewright.errors import WavewrightError, format_os_error
from wavewright.training.logger import TrainingLogger

FULL = "No space left on device (the disk is full)"


def published(home: Path) -> list[str]:
    """Files under a final name."""
    return [path.name for path in home.iterdir() if not path.name.startswith(".")]


# ---------------------------------------------------------------- a full disk, file by file


@pytest.mark.parametrize("room", [8, 4000], ids=["weights", "optimisers"])
def test_a_checkpoint_without_room_is_said_and_the_one_before_loads(
    tmp_path: Path, small_disk: MakeDisk, room: int
) -> None:
    """safetensors names no file, and torch.save no reason; `room` is in kB."""
    run = tmp_path / "run"
    small_disk(run, "80m")
    model = tiny.hifigan()
    save_checkpoint(run, 1, model, {"moments": torch.zeros(1000)})
    small_disk(run, f"{shutil.disk_usage(run).used // 1024 + room}k")
    moments = {"moments": torch.zeros(5_000_000)}
    with pytest.raises(OSError, match="No space left") as error:
        save_checkpoint(run, 2, model, moments)
    assert FULL in format_os_error(error.value)
    file = "vocoder.safetensors" if room < 100 else "training.pt"
    assert f"/.step-00000002.partial/{file}: " in format_os_error(error.value)
    newest = latest_checkpoint(run)
    assert newest == run / "step-00000001"
    assert load_training(newest)["moments"].shape == (1000,)
    load_vocoder(newest)
    small_disk(run, "80m")
    save_checkpoint(run, 2, model, moments)
    assert latest_checkpoint(run) == run / "step-00000002"


def test_sound_without_room_is_said(tmp_path: Path, small_disk: MakeDisk) -> None:
    """libsndfile only says that there was an error of the system's."""
    disk = tmp_path / "disk"
    small_disk(disk, "200k")
    wav = np.zeros(1_000_000, dtype=np.float32)
    with pytest.raises(WavewrightError) as error:
        save_wav(disk / "a.wav", wav, 22050)
    assert str(error.value) == f"{disk / 'a.wav'}: could not be written ({FULL})"

    def stream() -> None:
        with wav_writer(disk / "b.wav", 22050) as write:
            for _ in range(100):
                write(wav[:50_000])

    with pytest.raises(WavewrightError) as error:
        stream()
    assert FULL in str(error.value)
    assert list(disk.iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's
def test_a_training_does_without_its_logs(
    tmp_path: Path, small_disk: MakeDisk, caplog: pytest.LogCaptureFixture
) -> None:
    """TensorBoard's disk is full; the curve, which is a result, is kept."""
    run = tmp_path / "run"
    small_disk(run / "logs", "100k")
    with TrainingLogger(run, 0) as logger:
        for step in range(300):
            logger.audio("noise", torch.rand(22050), 22050, step)
            logger.scalars(step, {"loss": torch.tensor(1.0)}, {"generator": 1e-3}, {})
        logger.validation(300, {"mel_l1": 0.5})
    assert caplog.text.count("the training continues without TensorBoard") == 1
    assert FULL in caplog.text
    lines = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert lines == [{"step": 300, "mel_l1": 0.5}]


# ---------------------------------------------------------------- a full disk, in runs


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    file = folder / ".filler"
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(bytes(4096)):
                pass
        except OSError:
            pass
    return file


@pytest.mark.parametrize("size", ["4k", "24k", "48k"])
def test_a_run_on_a_full_disk_ends_in_a_sentence_and_goes_on_with_room(
    toy: Toy, small_disk: MakeDisk, size: str
) -> None:
    (toy.folder / "recipe.yaml").write_text(TONES)
    (toy.folder / "level.txt").write_text("0.5")
    home = toy.folder / "exp" / "00_tones"
    small_disk(home, size)
    failed = toy.run("--jobs", "1")
    assert failed.returncode not in (0, -9), failed.stdout
    assert f"{home}" in said(failed)
    assert FULL in said(failed)
    assert published(home) == []
    small_disk(home, "4m")
    assert toy.run("--jobs", "1").returncode == 0
    assert call(toy, "verify", "recipe.yaml").returncode == 0


def test_a_disk_full_from_the_start(toy: Toy, small_disk: MakeDisk) -> None:
    """Not even what the runner itself writes has room; nothing is left half done."""
    home = toy.folder / "exp"
    small_disk(home, "64k")
    assert toy.run("--stop-stage", "0").returncode == 0
    filler = fill(home)
    failed = toy.run()
    assert failed.returncode == 2
    assert FULL in said(failed)
    filler.unlink()
    small_disk(home, "4m")
    assert toy.run().returncode == 0
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 3\nhifigan:v3 3"


def test_a_full_log_costs_the_log_and_not_the_stage(toy: Toy) -> None:
    once = ("--set", "shout.fail=kill once", "--stop-stage", "1")
    assert toy.run(*once).returncode == 1
    partial = next((toy.folder / "exp" / "01_shout").glob(".partial-*"))
    log = partial / "logs" / "stage.log"
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")
    toy.environment["TOY_SAYS"] = "one\ntwo\nthree"
    done = toy.run(*once)
    assert done.returncode == 0, said(done)
    assert toy.result("01_shout", "words.txt") == "HELLO!"
    assert f"warning: {log}: {FULL}" in said(done)
    assert "three" in done.stderr, "the terminal has what the log has not"


def test_a_full_log_of_a_failing_stage_still_shows_its_tail(toy: Toy) -> None:
    assert toy.run("--set", "shout.fail=kill", "--stop-stage", "1").returncode == 1
    options = ("--set", "shout.fail=kill", "--stop-stage", "1")
    partial = next((toy.folder / "exp" / "01_shout").glob(".partial-*"))
    log = partial / "logs" / "stage.log"
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")
    toy.environment["TOY_SAYS"] = "out of breath"
    failed = toy.run(*options)
    assert failed.returncode == 1
    assert "out of breath" in failed.stdout.partition("--- last lines of")[2]


def test_output_into_a_file_on_a_full_disk_does_not_end_a_stage(toy: Toy) -> None:
    toy.environment["TOY_SAYS"] = "noise " * 1000
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            toy.command("run", "recipe.yaml", "--stop-stage", "1"),
            cwd=toy.folder,
            env=toy.environment,
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    assert toy.result("01_shout", "words.txt") == "HELLO!"


# ---------------------------------------------------------------- no leave to write


def test_a_read_only_work_folder_fails_before_any_work(
    toy: Toy, read_only: Callable[[Path], None]
) -> None:
    (toy.folder / "exp").mkdir()
    read_only(toy.folder / "exp")
    failed = toy.run()
    assert failed.returncode == 2
    assert "exp/00_source: cannot be written (Read-only file system)" in said(failed)
    assert toy.ran() == []


@pytest.mark.parametrize("how", ["mode", "disk"])
def test_a_last_stage_that_cannot_be_written_fails_before_the_first(
    toy: Toy, how: str, read_only: Callable[[Path], None]
) -> None:
    """Not after a week of training."""
    home = toy.folder / "exp" / "03_judge"
    home.mkdir(parents=True)
    if how == "disk":
        read_only(home)
    else:
        home.chmod(0o555)
    failed = call(toy, "run", "recipe.yaml", before=obey_modes)
    reason = "Read-only file system" if how == "disk" else "Permission denied"
    assert failed.returncode == 2
    assert f"03_judge: cannot be written ({reason}); the result of stage 3 judge" in said(failed)
    assert toy.ran() == []
    assert call(toy, "run", "recipe.yaml", "--stop-stage", "2", before=obey_modes).returncode == 0


def test_what_is_up_to_date_needs_no_leave_to_write(
    toy: Toy, read_only: Callable[[Path], None]
) -> None:
    assert toy.run().returncode == 0
    toy.ran()
    read_only(toy.folder)
    again = toy.run()
    assert again.returncode == 0, said(again)
    assert said(again).count("up to date") == 5
    assert toy.ran() == []


def test_an_input_without_leave_to_read_is_said(toy: Toy) -> None:
    extra = toy.folder / "extra.txt"
    extra.write_text("secret")
    extra.chmod(0)
    options = ("run", "recipe.yaml", "--set", "source.source=extra.txt")
    failed = call(toy, *options, before=obey_modes)
    assert failed.returncode == 2
    assert f"error: {extra}: Permission denied" in said(failed)
    assert toy.ran() == []


# ---------------------------------------------------------------- odd work folders


def test_a_work_folder_behind_a_link(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (toy.folder / "exp").symlink_to(tmp_path / "large disk")
    assert toy.run().returncode == 0
    assert toy.ran() == ALL
    assert toy.run().returncode == 0
    assert toy.ran() == []
    assert (tmp_path / "large disk" / "03_judge" / "latest" / "verdict.txt").is_file()
    assert call(toy, "verify", "recipe.yaml").returncode == 0


@pytest.mark.parametrize("kind", ["dangling link", "file", "link loop"])
def test_a_work_folder_that_is_none(toy: Toy, kind: str) -> None:
    place = toy.folder / "exp"
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to("nowhere" if kind == "dangling link" else "exp")
    failed = toy.run()
    assert failed.returncode == 2
    assert "exp/00_source: cannot be written" in said(failed)
    assert toy.ran() == []
    assert kind != "file" or place.read_text() == "mine"


# ---------------------------------------------------------------- limits of the process


def limited(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


def tones(toy: Toy) -> None:
    (toy.folder / "recipe.yaml").write_text(TONES)
    (toy.folder / "level.txt").write_text("0.5")


def test_sixty_four_open_files_are_enough(toy: Toy) -> None:
    tones(toy)
    before = limited(resource.RLIMIT_NOFILE, 64)
    done = call(toy, "run", "recipe.yaml", "--jobs", "2", before=before)
    assert done.returncode == 0, said(done)


@pytest.mark.parametrize(
    "most",
    [6, pytest.param(8, marks=pytest.mark.long), 10, pytest.param(12, marks=pytest.mark.long)],
)
def test_too_few_open_files_are_said(toy: Toy, most: int) -> None:
    """Wherever the limit is met, it is no traceback, and nothing is published that is not whole."""
    tones(toy)
    before = limited(resource.RLIMIT_NOFILE, most)
    done = call(toy, "run", "recipe.yaml", "--jobs", "2", before=before)
    words = said(done)
    if done.returncode:
        assert "Too many open files" in words
        assert "ulimit -n" in words
        assert not list((toy.folder / "exp").glob("00_tones/latest"))
    else:
        assert call(toy, "verify", "recipe.yaml").returncode == 0
    assert toy.run("--jobs", "2").returncode == 0


def test_memory_that_runs_out_names_stage_and_shard(toy: Toy) -> None:
    """The third shard wants more than there may be; the others are kept."""
    tones(toy)
    toy.environment["TOY_HUNGRY"] = "tone07"
    before = limited(resource.RLIMIT_AS, 3_000_000_000)
    failed = call(toy, "run", "recipe.yaml", "--jobs", "1", before=before)
    assert failed.returncode == 2
    assert "shards: shard-00002.tar (tone06 to tone08): memory ran out" in said(failed)
    assert "error: stage 0 tones failed" in failed.stderr
    assert published(toy.folder / "exp" / "00_tones") == []
    assert len(toy.ran()) == 8
    del toy.environment["TOY_HUNGRY"]
    assert toy.run("--jobs", "1").returncode == 0
    assert toy.ran() == [f"tone{number:02d}" for number in range(6, 12)]


def test_memory_that_runs_out_in_a_worker_names_stage_and_shard(toy: Toy) -> None:
    tones(toy)
    toy.environment["TOY_HUNGRY"] = "tone07"
    before = limited(resource.RLIMIT_AS, 3_000_000_000)
    failed = call(toy, "run", "recipe.yaml", "--jobs", "2", before=before)
    assert failed.returncode == 2
    assert "shards: shard-00002.tar (tone06 to tone08): memory ran out" in said(failed)
    del toy.environment["TOY_HUNGRY"]
    toy.ran()
    assert toy.run("--jobs", "2").returncode == 0
    assert set(toy.ran()) >= {"tone06", "tone07", "tone08"}


def with_small_shm(
    size: str, command: list[str], **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command where /dev/shm has that size, in a mount namespace of its own."""
    script = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    inside = ["unshare", "-m", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("/dev/shm cannot be replaced here")
    return subprocess.run(
        [*inside, *command], capture_output=True, text=True, check=False, timeout=200, **options
    )


def test_worker_processes_without_shared_memory_are_said(toy: Toy) -> None:
    tones(toy)
    for jobs, code in [("2", 2), ("1", 0)]:
        command = toy.command("run", "recipe.yaml", "--jobs", jobs)
        done = with_small_shm("16k", command, cwd=toy.folder, env=toy.environment)
        assert done.returncode == code, said(done)
        assert (f"error: /dev/shm: {FULL}. Processes that work together" in said(done)) == bool(
            code
        )
        assert ("or use --jobs 1" in said(done)) == bool(code)
    assert call(toy, "verify", "recipe.yaml").returncode == 0


_LOADING = """
import sys, types, torch
from wavewright.errors import WavewrightError
from wavewright.training.loader import batches
from wavewright.training.options import TrainingOptions

class Data:
    batch_size = 1
    def __len__(self):
        return 9
    def batch(self, step, share=0, shares=1):
        return torch.zeros(4_000_000)

options = TrainingOptions(max_steps=9, seed=0, workers=int(sys.argv[1]))
try:
    for _ in batches(Data(), 0, options, types.SimpleNamespace(rank=0, size=1)):
        pass
except WavewrightError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize(("size", "workers", "code"), [("16k", 2, 1), ("2m", 2, 1), ("16k", 0, 0)])
def test_data_that_has_no_room_in_shared_memory_is_said(
    toy: Toy, size: str, workers: int, code: int
) -> None:
    """Containers have 64 MB there unless they are given more."""
    command = [sys.executable, "-c", _LOADING, str(workers)]
    done = with_small_shm(size, command, env=toy.environment)
    assert done.returncode == code, done.stderr
    if code:
        last = done.stderr.strip().splitlines()[-1]
        assert "error: /dev/shm: " in last
        assert "set workers to 0" in last
