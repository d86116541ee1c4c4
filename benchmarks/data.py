"""Speed, scaling and memory of data preparation.

    python benchmarks/data.py CORPUS [--repeat 20] [--rounds 5] [--parts stages,engines,memory]

CORPUS is a folder in LJSpeech layout, such as kathleen. Times are medians of rounds that alternate,
in real time: seconds of audio per second and core.

- stages: the mels stage end to end from FLAC and from PCM16 shards (decode, mel, write, index), and
  prepare (screen, resample from 48 kHz to the mel's rate, write), with one job.
- engines: the mels stage on the corpus repeated: with one job, which is this process, and with two
  worker processes; all have imported everything before. The ratio is the median of the rounds' own.
  It needs a machine with two processors to spare, and 2 GB of disk for 17 hours of mels.
- memory: prepare and the mels stage with two workers on the corpus once and repeated, each in a
  process of its own, whose peak of proportional memory (PSS; the workers' included) is sampled.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
ROOTS = [str(Path(__file__).resolve().parents[1] / root) for root in ("pipeline", "stages")]
sys.path[:0] = ROOTS
os.environ["PYTHONPATH"] = os.pathsep.join(ROOTS)

import numpy as np
import pandas as pd
import soundfile

from wavewright.audio.files import load_wav, resample, to_pcm16
from wavewright.compute.parallel_map import parallel_map
from wavewright.data.corpus.utterances import read_corpus
from wavewright.data.manifest import read_manifest, write_manifest
from wavewright.data.shards import Array, Encoding, Shards, write_shards
from wavewright.mel.spec import MelSpec
from wavewright_stages.mels import mels
from wavewright_stages.prepare import prepare

SPEC = MelSpec.preset("hifigan")


def _read(_: str, path: Path) -> Array:
    return to_pcm16(load_wav(path, SPEC.sample_rate)[0])


def _copy(_: str, original: str, folder: Path) -> Array:
    return Shards(folder).array(original)


def prepared_of(corpus: Path, folder: Path, encoding: Encoding, repeat: int = 1) -> float:
    """A prepared folder with as much as the mels stage reads; returns its seconds of audio."""
    if (folder / "manifest.parquet").is_file():
        return float(read_manifest(folder / "manifest.parquet")["seconds"].sum())
    paths = {entry.id: entry.audio for entry in read_corpus(corpus, ("id", "raw", "normalised"))}
    write = partial(write_shards, mel=None, sample_rate=SPEC.sample_rate, encoding=encoding)
    write(folder / "audio", paths, _read)
    if repeat > 1:
        once = folder.with_name(f"{folder.name}-once")
        (folder / "audio").rename(once)
        copies = {f"{i}-{name}": name for i in range(repeat) for name in paths}
        write(folder / "audio", copies, partial(_copy, folder=once))
        shutil.rmtree(once)
    shards = Shards(folder / "audio")
    lengths = [shards.length(name) for name in shards.ids]
    table = {
        "id": shards.ids,
        "audio": "",
        "samples": lengths,
        "seconds": [length / SPEC.sample_rate for length in lengths],
        "sample_rate": SPEC.sample_rate,
        "speaker": "kathleen",
        "text": "",
        "normalised_text": "",
        "split": "train",
        "alignment": "",
        "flags": "",
        "reason": "",
    }
    write_manifest(pd.DataFrame(table), folder / "manifest.parquet")
    return sum(lengths) / SPEC.sample_rate


def corpus_at_48k(corpus: Path, folder: Path, files: int, kind: str) -> tuple[Path, float]:
    """Some of a corpus, resampled, as 16-bit files."""
    (folder / "wavs").mkdir(parents=True)
    lines, seconds = [], 0.0
    for entry in read_corpus(corpus, ("id", "raw", "normalised"))[:files]:
        wav = resample(*load_wav(entry.audio), 48000)
        soundfile.write(folder / "wavs" / f"{entry.id}.{kind}", wav, 48000, subtype="PCM_16")
        lines.append(f"{entry.id}|{entry.text}|{entry.normalised}\n")
        seconds += len(wav) / 48000
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder, seconds


def timed(work: Callable[[Path], object], scratch: Path) -> float:
    """Seconds that some work into an empty folder takes."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    started = time.perf_counter()
    with quiet():
        work(folder)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without progress lines."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def stages_table(corpus: Path, scratch: Path, rounds: int, files: int) -> None:
    """One core, stage by stage."""
    encodings: tuple[Encoding, ...] = ("flac", "pcm16")
    seconds = {e: prepared_of(corpus, scratch / e, e) for e in encodings}
    work: dict[str, tuple[float, Callable[[Path], object]]] = {
        f"mels stage, from {name} shards": (
            seconds[key],
            partial(_mels, scratch / key, jobs=1),
        )
        for name, key in zip(("FLAC", "PCM16"), encodings, strict=True)
    }
    for kind in ("wav", "flac"):
        raw, raw_seconds = corpus_at_48k(corpus, scratch / kind, files, kind)
        name = f"prepare, 48 kHz {kind.upper()} to 22.05 kHz shards"
        work[name] = (raw_seconds, partial(_prepare, raw))
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, (_, run) in work.items():
            spent = timed(run, scratch)
            if turn:
                times[name].append(spent)
    print(f"\n| one core, medians of {rounds} | seconds of audio | x real time | range |")
    print("|---|---:|---:|---:|")
    for name, values in times.items():
        audio = work[name][0]
        spread = f"{audio / max(values):.0f}-{audio / min(values):.0f}"
        print(f"| {name} | {audio:.0f} | {audio / statistics.median(values):.0f} | {spread} |")


def _mels(prepared: Path, folder: Path, jobs: int) -> None:
    mels(prepared, folder, mel=SPEC, jobs=jobs)


def _prepare(corpus: Path, folder: Path) -> None:
    prepare(
        corpus,
        folder,
        sample_rate=SPEC.sample_rate,
        unknown_symbols="flag",
        max_quarantine=0.5,
        jobs=1,
    )


def engines_table(corpus: Path, scratch: Path, rounds: int, repeat: int) -> None:
    """One worker process and two, turn by turn."""
    seconds = prepared_of(corpus, scratch / "many", "flac", repeat)
    with quiet():
        parallel_map(_warm, range(8), jobs=2, what="warm up")
        _warm(0)
    one, two = [], []
    for _ in range(rounds):
        one.append(timed(partial(_mels, scratch / "many", jobs=1), scratch))
        two.append(timed(partial(_mels, scratch / "many", jobs=2), scratch))
    ratio = statistics.median(a / b for a, b in zip(one, two, strict=True))
    print(
        f"\n| mels stage, {seconds / 3600:.1f} h of audio, medians of {rounds} | s | x real time |"
    )
    print("|---|---:|---:|")
    for name, values in (("1 worker", one), ("2 workers", two)):
        spent = statistics.median(values)
        print(f"| {name} | {spent:.2f} | {seconds / spent:.0f} |")
    print(f"| ratio | {ratio:.2f} | |")


def _warm(_: int) -> None:
    import wavewright.mel.transform_numpy

    wavewright.mel.transform_numpy.log_mel_numpy(np.zeros(4096, np.float32), SPEC)
    time.sleep(0.2)


def memory_table(corpus: Path, scratch: Path, repeat: int) -> None:
    """Peak memory of whole stages, at one and at many times the utterances."""
    print("\n| 2 workers | utterances | peak PSS, MB |")
    print("|---|---:|---:|")
    folders: dict[str, list[Path]] = {"prepare": [], "mels": []}
    for times in (1, repeat):
        folder = scratch / ("many" if times > 1 else "flac")
        prepared_of(corpus, folder, "flac", times)
        folders["mels"].append(folder)
        folders["prepare"].append(repeated(corpus, scratch / f"raw{times}", times))
    for stage, sources in folders.items():
        peaks = []
        for times, folder in zip((1, repeat), sources, strict=True):
            peaks.append(peak_memory(stage, folder, scratch / f"{stage}-{times}"))
            print(f"| {stage}, {times} x | {times * len(read_corpus(corpus))} | {peaks[-1]:.0f} |")
        print(f"| {stage}, added | | {100 * (peaks[1] / peaks[0] - 1):.1f} % |")


def repeated(corpus: Path, folder: Path, times: int) -> Path:
    """A corpus many times over, by links."""
    lines = []
    for part in ("wavs", "alignments"):
        (folder / part).mkdir(parents=True)
    for entry in read_corpus(corpus):
        for i in range(times):
            name = f"{entry.id}-{i}"
            (folder / "wavs" / f"{name}{entry.audio.suffix}").symlink_to(entry.audio.absolute())
            if entry.alignment:
                link = folder / "alignments" / f"{name}.TextGrid"
                link.symlink_to(entry.alignment.absolute())
            lines.append(f"{name}|{entry.text}|{entry.normalised}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder


_CALLS = {
    "mels": "from wavewright_stages.mels import mels; from wavewright.mel.spec import MelSpec; "
    "mels(Path(sys.argv[1]), Path(sys.argv[2]), mel=MelSpec.preset('hifigan'), jobs=2)",
    "prepare": "from wavewright_stages.prepare import prepare; "
    "prepare(Path(sys.argv[1]), Path(sys.argv[2]), sample_rate=22050, splits='hash', "
    "share_texts=True, jobs=2)",
}


def peak_memory(stage: str, given: Path, out: Path) -> float:
    """Megabytes of a stage in a process of its own and its workers."""
    out.mkdir()
    code = f"import sys; from pathlib import Path; {_CALLS[stage]}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(given), str(out)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    peak = 0.0
    waiter = threading.Thread(target=process.wait)
    waiter.start()
    while waiter.is_alive():
        peak = max(peak, pss_of_session(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"the stage ended with {process.returncode}")
    return peak


def pss_of_session(session: int) -> float:
    """Proportional memory of all processes of a session, in megabytes (Linux)."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            for line in (folder / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def main(argv: Sequence[str] | None = None) -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=300, help="for prepare from 48 kHz")
    parser.add_argument("--parts", default="stages,engines,memory")
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(parts="stages", repeat=2, rounds=1, files=4)
        arguments = parser.parse_args(argv)
    parts = arguments.parts.split(",")
    with tempfile.TemporaryDirectory() as name, quiet():
        scratch = Path(name)
        if "stages" in parts:
            stages_table(arguments.corpus, scratch, arguments.rounds, arguments.files)
        if "engines" in parts:
            engines_table(arguments.corpus, scratch, arguments.rounds, arguments.repeat)
        if "memory" in parts:
            memory_table(arguments.corpus, scratch, arguments.repeat)


if __name__ == "__main__":
    main()
