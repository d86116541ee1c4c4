"""Seeded losses, samples, mels, metrics and ONNX outputs of every registered system, as digests.

A change that should alter no result shows it by this command: write the file before the change,
compare after it.

    python -m tests.support.seeded_results --write before.json
    python -m tests.support.seeded_results --compare before.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import numpy as np
import torch

from tests.support import tiny
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.data.pitch import PitchTracks, write_pitch
from wavewright.data.shards import Shards
from wavewright.evaluation.measure import build_metrics
from wavewright.interop.exporting.export import export_vocoder
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel, silent_mel
from wavewright.models.acoustic import TextBatch
from wavewright.models.capabilities import Exportable, NeedsStatistics, require_sampler
from wavewright.models.streamable import can_stream, require_streamable
from wavewright.models.trainable import Trainable
from wavewright.registry import create_vocoder, plugins
from wavewright.training.crops import CropData
from wavewright.training.seeding import seed_everything
from wavewright.training.state import TrainState

ROOT = Path(__file__).resolve().parents[2]


def digest(values: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of an array's bytes and shape."""
    array = np.ascontiguousarray(np.asarray(values))
    return hashlib.sha256(repr((array.shape, array.dtype)).encode() + array.tobytes()).hexdigest()[
        :16
    ]


def speech(sample_rate: int, seconds: float = 1.2, shift: float = 1.0) -> np.ndarray:
    """float32 (samples,): a gliding harmonic tone with noise, silent at both ends."""
    generator = np.random.default_rng(7)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(shift * (140 + 40 * np.sin(2 * np.pi * 1.3 * time))) / sample_rate
    voiced = sum(np.sin(k * phase) / k for k in range(1, 12))
    wav = 0.1 * voiced + 0.01 * generator.standard_normal(len(time))
    envelope = np.clip(np.minimum(time, time[::-1]) * 10 - 0.5, 0, 1)
    return (wav * envelope).astype(np.float32)


def mel_digests() -> dict[str, str]:
    """Digest of a test signal's mel in every preset."""
    specs = {name: MelSpec.preset(name) for name in MelSpec.presets()}
    return {
        f"mel {name}": digest(log_mel(torch.from_numpy(speech(spec.sample_rate)), spec))
        for name, spec in specs.items()
    }


def vocoder_digests(name: str, folder: Path) -> dict[str, Any]:
    """Samples, stream, losses of three training steps, and the ONNX file's output of one system."""
    results: dict[str, Any] = {}
    torch.manual_seed(0)
    model = create_vocoder(name, **tiny.SMALL[name]).eval()
    if model.conditioning == "mel":
        mel = log_mel(torch.from_numpy(speech(8000, 0.3)), model.mel_spec)[None]
        results["samples"] = digest(model.generate(mel.repeat(2, 1, 1), seed=5))
        if can_stream(model):
            pieces = list(require_streamable(model).stream(torch.split(mel, 11, dim=-1), seed=5))
            results["stream"] = digest(torch.cat(pieces, dim=1))
    else:
        results["samples"] = digest(require_sampler(model).sample(2, seed=5))
    if isinstance(model, Exportable):
        import onnxruntime

        file = folder / f"{name.replace(':', '-')}.onnx"
        export_vocoder(model, file)
        session = onnxruntime.InferenceSession(file)
        generator = np.random.default_rng(3)
        sizes: dict[str, tuple[int, ...]] = {"mel": (model.mel_spec.n_mels, 24)}
        noises = model.noise_inputs(24) if model.conditioning == "mel" else {}
        sizes |= {key: tuple(noise.shape) for key, noise in noises.items()}
        inputs = {}
        for port in session.get_inputs():
            size = (2, *sizes.get(port.name, port.shape[1:]))
            inputs[port.name] = generator.standard_normal(size).astype(np.float32)
        results["onnx"] = [digest(value) for value in session.run(None, inputs)]
    if isinstance(model, Trainable):
        audio, mels = tiny.corpus(folder / name.replace(":", "-"))
        data = CropData(
            audio,
            mels,
            tiny.IDS,
            segment_length=model.crops.fixed_samples or 512,
            batch_size=2,
            seed=3,
            context_frames=model.crops.context_frames,
            padding=model.crops.padding,
            pitch=_pitch(folder, mels) if model.crops.f0 else None,
        )
        seed_everything(3, 0)
        model = create_vocoder(name, **tiny.SMALL[name])
        if isinstance(model, NeedsStatistics):
            model.fit_statistics(data.wavs())
        session_ = TrainState(model, len(data), torch.device("cpu"), 3)
        results["losses"] = []
        for step in range(3):
            logs = session_.advance(data.batch(step))
            results["losses"].append({key: float(value).hex() for key, value in logs.items()})
        results["trained"] = digest(
            np.concatenate([v.numpy().ravel() for v in model.inference_state().values()])
        )
    return results


def _pitch(folder: Path, mels: Shards) -> PitchTracks:
    """An F0 of 100 Hz in every frame of the tiny corpus."""
    tracks = {id_: np.full(mels.length(id_), 100.0, np.float32) for id_ in tiny.IDS}
    write_pitch(folder, tracks, tiny.SPEC)
    return PitchTracks(folder)


def acoustic_digests() -> dict[str, Any]:
    """Losses of three training steps and teacher-forced mels of a small Tacotron 2."""
    spec = MelSpec.preset("hifigan").model_copy(update={"n_mels": 8})
    seed_everything(3, 0)
    model = Tacotron2.create("tacotron2", **{**tiny.TACOTRON, "mel": spec})
    generator = torch.Generator().manual_seed(5)
    text = torch.zeros(2, 9, dtype=torch.int64)
    mel = torch.from_numpy(silent_mel(spec, 25)).repeat(2, 1, 1)
    for row, (length, count) in enumerate(zip((9, 5), (25, 11), strict=True)):
        text[row, :length] = torch.randint(1, 60, (length,), generator=generator)
        mel[row, :, :count] = torch.randn(8, count, generator=generator) - 5
    batch = TextBatch(text, torch.tensor((9, 5)), mel, torch.tensor((25, 11)), ["one", "two"])
    state = TrainState(model, 3, torch.device("cpu"), 3)
    losses = []
    for _ in range(3):
        logs = state.advance(batch)
        losses.append({key: float(value).hex() for key, value in logs.items()})
    model.eval()
    forced = model.teacher_force(batch, [1, 2])
    return {"losses": losses, "teacher forced": [digest(item.mel) for item in forced]}


def metric_values() -> dict[str, Any]:
    """Every metric's value between two test signals, with its registry name."""
    rate = 22050
    reference, candidate = speech(rate), speech(rate, shift=1.01)
    metrics = build_metrics(
        [name for name in plugins("metrics") if name not in ("wer", "cer")]
    ).metrics
    values = {}
    for metric in metrics:
        values[metric.id] = float(metric(reference, candidate, rate)).hex()
    return values


def shipped_digests() -> dict[str, str]:
    """Samples that the recipes' shipped weights make of a test signal's mel."""
    digests = {}
    for path in sorted(ROOT.glob("recipes/*/weights/*.safetensors")):
        if path.stem.startswith(("tacotron2", "classifier")):
            continue
        model = load_vocoder(path)
        if model.conditioning != "mel":
            digests[path.stem] = digest(require_sampler(model).sample(1, seed=2))
            continue
        mel = log_mel(torch.from_numpy(speech(model.sample_rate, 0.2)), model.mel_spec)[None]
        digests[path.stem] = digest(model.generate(mel, seed=2))
    return digests


def collect() -> dict[str, Any]:
    """All results by section."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        vocoders = {name: vocoder_digests(name, Path(scratch)) for name in tiny.SMALL}
    return {
        "mels": mel_digests(),
        "vocoders": vocoders,
        "acoustic": acoustic_digests(),
        "metrics": metric_values(),
        "shipped": shipped_digests(),
    }


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths at which two collections differ, each with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [
            line
            for key in keys
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    return [] if before == after else [f"{path}: {before} -> {after}"]


def count(values: Any) -> int:
    """How many single results a collection holds."""
    if isinstance(values, dict):
        return sum(map(count, values.values()))
    return len(values) if isinstance(values, list) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", type=Path, help="file to write the results to")
    mode.add_argument("--compare", type=Path, help="file to compare the results with")
    options = parser.parse_args()
    results = json.loads(json.dumps(collect()))
    if options.write:
        options.write.write_text(json.dumps(results, indent=1, sort_keys=True))
        print(f"{options.write}: {count(results)} results")
        return 0
    lines = differences(json.loads(options.compare.read_text()), results)
    print(*lines, sep="\n", end="\n" if lines else "")
    print(f"{count(results)} results, {len(lines)} differ from {options.compare}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
