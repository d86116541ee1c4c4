"""Sample-by-sample loops: packed arithmetic, and equality of the compiled and PyTorch loops."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import tiny
from tests.support.tolerances import rounding
from wavewright.errors import WavewrightError
from wavewright.inference.optimize import optimize_for_inference
from wavewright.kernels import ops
from wavewright.kernels.compile import compile_loop
from wavewright.kernels.loop import Engine, LoopWindow, UniformSampler
from wavewright.kernels.packing import PackedMatrix, pack, pack_sparse
from wavewright.kernels.sampling import GUMBEL_MAX, INVERSE_CDF, draw_label, prepare_uniforms
from wavewright.models.autoregressive import AutoregressiveVocoder
from wavewright.models.batch import Batch
from wavewright.nn.likelihood import draw_categorical
from wavewright.nn.pruning import PrunedLinear
from wavewright.nn.upsample_network import SMOOTHING_FRAMES, Stretch, interpolation_weights
from wavewright.registry import create_vocoder
from wavewright.vocoders.wavenet import WaveNet

#: Small networks whose sizes fill no group, of every kind of output.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "wavenet logistics": ("wavenet", {"target": True}),
    "wavenet labels": ("wavenet", {"distribution": "categorical", "classes": 100}),
    "wavenet gaussian": ("wavenet", {"distribution": "gaussian", "gate_channels": 200}),
    "wavenet unconditional": (
        "wavenet",
        {"conditioning": "none", "kernel_size": 2, "sample_frames": 9},
    ),
    "fatchord logistics": ("wavernn", {"units": 100, "head_channels": 70}),
    "fatchord labels": ("wavernn", {"distribution": "categorical", "bits": 6}),
    "dual softmax": ("wavernn", {"network": "dual-softmax", "units": 152}),
    "dual softmax unconditional": (
        "wavernn",
        {"network": "dual-softmax", "conditioning": "none", "sample_frames": 9},
    ),
    "pruned": ("wavernn", {"network": "dual-softmax", "units": 96, "pruning": {}}),
    "pruned 4x4": (
        "wavernn",
        {"network": "dual-softmax", "units": 96, "pruning": {"block": "4x4", "sparsity": 0.5}},
    ),
}


def build(name: str) -> AutoregressiveVocoder:
    system, changes = NETWORKS[name]
    changes = {key: value for key, value in changes.items() if key != "target"}
    torch.manual_seed(0)
    vocoder = create_vocoder(system, **{**tiny.SMALL[system], **changes}).eval()
    assert isinstance(vocoder, AutoregressiveVocoder)
    for parameter in vocoder.parameters():
        if parameter.ndim == 2:  # so that the feedback matters
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    if "pruned" in name:
        vocoder.prune(0.5)  # type: ignore[operator]
    return vocoder


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loop_is_packed_where_gradients_are_on(name: str) -> None:
    with torch.enable_grad():
        loop = build(name).compiled_loop(Engine())
    assert loop.weight_bytes > 0


def random_mel(vocoder: AutoregressiveVocoder, items: int = 1, frames: int = 9) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(5, vocoder.mel_spec.n_mels, frames, generator=random)[:items]


def generate(
    vocoder: AutoregressiveVocoder, engine: Engine, items: int = 1, speaker: str = ""
) -> Tensor:
    vocoder.engine = engine
    if vocoder.conditioning == "none":
        return vocoder.sample(items, seed=5, speaker=speaker)
    return vocoder.generate(random_mel(vocoder, items), seed=5, speaker=speaker)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_compiled_loop_equals_the_reference(name: str, threads: int) -> None:
    vocoder = build(name)
    reference = generate(vocoder, Engine("reference"))
    assert float(reference.std()) > 0.01, "silence would prove nothing"
    compiled = generate(vocoder, Engine(threads=threads))
    torch.testing.assert_close(compiled, reference, rtol=0, atol=rounding(vocoder))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("precision", "wrong"), [("float32", 1e-4), ("bf16", 0.05), ("int8", 0.05)]
)
def test_teacher_forced_bits_equal_those_of_the_network(
    name: str, precision: Any, wrong: float
) -> None:
    """Quantized weights may cost a few hundredths of the bits."""
    vocoder = build(name)
    mel = random_mel(vocoder)
    samples = mel.shape[-1] * vocoder.hop_length
    wav = torch.sin(torch.arange(samples) * 0.3)[None] * 0.3
    batch = Batch(wav, mel, ["tone"])
    # The loop also predicts the first sample, from silence; bits_per_sample does not.
    padded_batch = Batch(
        torch.cat([torch.zeros(1, vocoder.hop_length), wav], dim=1), mel[..., [0]], ["x"]
    )
    padded_batch.mel = torch.cat([mel[..., :1], mel], dim=-1)
    exact = vocoder.bits_per_sample_quantized(padded_batch, Engine(threads=1))
    quantized = vocoder.bits_per_sample_quantized(
        padded_batch, Engine(precision=precision, threads=1)
    )
    torch.testing.assert_close(quantized, exact, rtol=wrong, atol=0)
    expected = vocoder.bits_per_sample(batch)
    bits = vocoder.bits_per_sample_quantized(batch, Engine(threads=2))
    torch.testing.assert_close(bits, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_equals_its_items(name: str) -> None:
    vocoder = build(name)
    tolerance = rounding(vocoder)
    for engine in (Engine(), Engine("reference")):
        batch = generate(vocoder, engine, items=3)
        torch.testing.assert_close(generate(vocoder, engine), batch[:1], rtol=0, atol=tolerance)
        assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("name", [n for n in NETWORKS if "unconditional" not in n])
@pytest.mark.parametrize("engine", [Engine(), Engine("reference")], ids=["fast", "reference"])
@pytest.mark.parametrize("cuts", [[9], [1, 1, 1, 1, 1, 4], [8, 1], [3, 6]])
def test_a_stream_equals_generate(name: str, engine: Engine, cuts: list[int]) -> None:
    vocoder = build(name)
    vocoder.engine = engine
    mel = random_mel(vocoder, items=2)
    pieces = list(vocoder.stream(torch.split(mel, cuts, dim=-1), seed=5))
    expected = vocoder.generate(mel, seed=5)
    joined = torch.cat(pieces, dim=1)
    torch.testing.assert_close(joined, expected, rtol=0, atol=rounding(vocoder))


def test_a_stream_yields_before_the_end() -> None:
    vocoder = build("fatchord labels")
    requested = 0

    def chunks() -> Any:
        nonlocal requested
        for piece in torch.split(random_mel(vocoder, frames=40), 8, dim=-1):
            requested += 1
            yield piece

    first = next(iter(vocoder.stream(chunks(), seed=0)))
    assert requested == 1
    frames = 8 - vocoder.crops.context_frames - SMOOTHING_FRAMES
    assert first.shape[1] == frames * vocoder.hop_length


def test_changed_weights_are_packed_again() -> None:
    """Packed weights are cached only until the network changes."""
    vocoder = build("wavenet labels")
    before = generate(vocoder, Engine())
    with torch.no_grad():
        vocoder.conv_post.bias.add_(torch.linspace(0, 9, 100))  # type: ignore[union-attr, operator]
    after = generate(vocoder, Engine())
    assert not torch.equal(before, after)
    reference = generate(vocoder, Engine("reference"))
    torch.testing.assert_close(after, reference, rtol=0, atol=rounding(vocoder))


def test_uniforms_depend_on_the_seed_alone() -> None:
    expected = UniformSampler([3, 4], 5).draw(50)
    pieces = UniformSampler([4], 5)
    torch.testing.assert_close(torch.cat([pieces.draw(7), pieces.draw(43)], 1), expected[1:])
    assert float(expected.min()) > 0
    assert float(expected.max()) < 1


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("compiled", "float32", "engine 'compiled': allowed are fast, reference"),
        ("fast", "int4", "precision 'int4': allowed are float32, bf16, int8"),
        ("reference", "int8", "the reference engine computes in float32, not in int8"),
    ],
)
def test_unknown_engines_and_precisions_are_refused(
    engine: str, precision: str, message: str
) -> None:
    with pytest.raises(WavewrightError, match=message):
        optimize_for_inference(build("wavenet labels"), precision, engine)


def test_the_engine_in_use_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="wavewright")
    optimize_for_inference(build("wavenet labels"), "int8")
    assert "a compiled loop, int8 weights" in caplog.text
    optimize_for_inference(build("pruned"), "int8")
    assert "a compiled loop, float32 weights, on 1 thread" in caplog.text, "as pruned ones are"


def test_parallel_vocoders_have_no_int8() -> None:
    with pytest.raises(WavewrightError, match="float32, bf16 or fp16, found 'int8'"):
        optimize_for_inference(tiny.hifigan().eval(), "int8")


@compile_loop
def _multiply(
    matrix: Any, groups: int, columns: int, x: Any, quantized: Any, out: Any, scales: Any
) -> None:
    scales[0] = ops.prepare(matrix, x, columns, quantized)
    ops.product(matrix, 0, groups, columns, x, quantized, scales[0], out)


def multiply(matrix: PackedMatrix, rows: int, x: np.ndarray) -> np.ndarray:
    out = np.zeros(rows, dtype=np.float32)
    quantized = np.zeros(2 * len(x), dtype=np.uint8)
    _multiply(matrix, rows // 64, len(x), x, quantized, out, np.zeros(1, dtype=np.float32))
    return out


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8", "int8 widened"])
@pytest.mark.parametrize(("rows", "columns"), [(64, 16), (192, 48), (128, 2048)])
def test_packed_products_are_products(precision: str, rows: int, columns: int) -> None:
    random = torch.Generator().manual_seed(rows)
    matrix = torch.randn(rows, columns, generator=random)
    x = torch.randn(columns, generator=random)
    packed = pack(matrix, precision.split()[0])
    kept = matrix
    if precision == "bf16":
        kept = matrix.bfloat16().float()
    elif precision.startswith("int8"):
        scales = matrix.abs().amax(dim=1, keepdim=True) / 127
        kept = (matrix / scales).round() * scales
        packed = packed[:2] if "widened" in precision else packed
    expected = (kept.double() @ x.double()).numpy()
    result = multiply(packed, rows, x.numpy())
    size = float((kept.abs() @ x.abs()).max())
    np.testing.assert_allclose(result, expected, rtol=0, atol=size * 2e-5)


@pytest.mark.parametrize("block", [(16, 1), (4, 4)])
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_pruned_products_are_products(block: tuple[int, int], sparsity: float) -> None:
    torch.manual_seed(0)
    layer = PrunedLinear(96, 128, block, bias=False)
    layer.prune(sparsity)
    x = torch.randn(96)
    expected = layer(x).detach().numpy()
    result = multiply(pack_sparse(layer.kept, block), 128, x.numpy())
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@compile_loop
def _curves(exp: Any, gates: Any, gated: Any) -> None:
    ops.exp(exp, 0, exp.shape[0])
    for i in range(gated.shape[0] // 64):
        ops.gate(gates, 128 * i, gated, 64 * i)


def test_exp_and_gates_are_accurate_to_float32() -> None:
    exponents = np.linspace(-80, 80, 64 * 100).astype(np.float32)
    gates = np.linspace(-12, 12, 128 * 100).astype(np.float32)
    exp, gated = exponents.copy(), np.zeros(64 * 100, dtype=np.float32)
    _curves(exp, gates, gated)
    np.testing.assert_allclose(exp, np.exp(exponents.astype(np.float64)), rtol=3e-7)
    halves = torch.from_numpy(gates).double().reshape(100, 2, 64)
    expected = torch.tanh(halves[:, 0]) * torch.sigmoid(halves[:, 1])
    np.testing.assert_allclose(gated, expected.flatten().numpy(), rtol=0, atol=2e-7)


@compile_loop
def _draw(logits: Any, numbers: Any, code: int, labels: Any) -> None:
    room = np.zeros((logits.shape[1] + 15) // 16 * 16, dtype=np.float32)
    for i in range(logits.shape[0]):
        room[: logits.shape[1]] = logits[i]
        labels[i] = draw_label(room, 0, logits.shape[1], numbers[i], 0, code)


@pytest.mark.parametrize("code", [INVERSE_CDF, GUMBEL_MAX])
@pytest.mark.parametrize("classes", [2, 30, 256])
def test_labels_are_drawn_alike_and_as_often_as_they_are_likely(code: int, classes: int) -> None:
    random = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(1, classes, generator=random)).expand(4000, -1).contiguous()
    uniforms = torch.rand(4000, 1 if code == INVERSE_CDF else classes, generator=random)
    uniforms = uniforms * (1 - 2e-5) + 1e-5
    labels = np.zeros(4000, dtype=np.int64)
    _draw(logits.numpy(), prepare_uniforms(uniforms, code), code, labels)
    reference = draw_categorical(logits, uniforms).numpy()
    assert (labels != reference).mean() < 0.001, "except for ties at the edges"
    share = np.bincount(labels, minlength=classes) / 4000
    expected = torch.softmax(logits[0], dim=0).numpy()
    assert np.abs(share - expected).max() < 5 * (0.25 / 4000) ** 0.5


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 9, 10, 30])
@pytest.mark.parametrize("rates", [(4, 4), (5, 5, 11), (16,)])
def test_interpolation_weights_reproduce_the_upsampling(
    frames: int, rates: tuple[int, ...]
) -> None:
    stretch = Stretch(rates)
    for conv in stretch.smooth:
        torch.nn.init.normal_(conv.weight)  # type: ignore[arg-type]
    values = torch.randn(1, 3, frames)
    expected = stretch(values)[0]
    kinds, kind = interpolation_weights(stretch, frames)
    hop = kinds.shape[1]
    around = torch.nn.functional.pad(values[0], (SMOOTHING_FRAMES, SMOOTHING_FRAMES))
    for frame in range(frames):
        neighbors = around[:, frame : frame + 2 * SMOOTHING_FRAMES + 1]
        result = neighbors @ kinds[kind[frame]].mT
        torch.testing.assert_close(
            result, expected[:, frame * hop : (frame + 1) * hop], rtol=1e-4, atol=1e-4
        )


def test_a_pruned_layer_stays_pruned() -> None:
    torch.manual_seed(0)
    layer = PrunedLinear(32, 64, (16, 1))
    layer.prune(0.5)
    first = layer.mask.clone()
    assert float(first.mean()) == 0.5
    kept = layer.weight.detach().reshape(4, 16, 32).square().sum(dim=1)
    assert kept[first == 1].min() > kept[first == 0].max(), "the smallest go"
    layer.weight.data.mul_(100.0)
    layer.prune(0.75)
    assert float(layer.mask.mean()) == 0.25
    assert not (layer.mask > first).any(), "none comes back"
    loss = layer(torch.randn(3, 32)).square().sum()
    loss.backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad[layer.spread(layer.mask) == 0].any()


def test_a_pruned_vocoder_keeps_its_zeros_when_saved() -> None:
    vocoder = build("pruned")
    state = vocoder.inference_state()
    assert not [key for key in state if "mask" in key]
    again = build("dual softmax")
    again = type(vocoder)(vocoder.config)
    again.load_inference_state(state)
    assert torch.equal(generate(again.eval(), Engine()), generate(vocoder, Engine()))
    layers = [m for m in again.modules() if isinstance(m, PrunedLinear)]
    assert all(float(layer.mask.mean()) == pytest.approx(0.5, abs=0.02) for layer in layers)


def two_speaker_wavenet() -> WaveNet:
    torch.manual_seed(0)
    fields = {**tiny.SMALL["wavenet"], "distribution": "categorical", "speakers": ("ann", "bo")}
    vocoder = create_vocoder("wavenet", **fields).eval()
    assert isinstance(vocoder, WaveNet)
    for layer in vocoder.layers:
        torch.nn.init.normal_(layer.speaker.weight, std=2.0)  # type: ignore[union-attr, arg-type]
    return vocoder


def test_every_engine_follows_the_speaker() -> None:
    vocoder = two_speaker_wavenet()
    wavs = {}
    for name in vocoder.speakers:
        wavs[name] = generate(vocoder, Engine(), speaker=name)
        expected = generate(vocoder, Engine("reference"), speaker=name)
        torch.testing.assert_close(wavs[name], expected)
    assert torch.equal(generate(vocoder, Engine()), wavs["ann"]), "the first is the default"
    assert not torch.equal(wavs["ann"], wavs["bo"])
    with pytest.raises(WavewrightError, match=r"cannot speak as 'cy'\. Speakers: ann, bo"):
        generate(vocoder, Engine(), speaker="cy")
    with pytest.raises(WavewrightError, match="It has one"):
        generate(build("wavenet labels"), Engine(), speaker="ann")


def test_speakers_come_from_the_labels_of_a_batch() -> None:
    vocoder = two_speaker_wavenet()
    wav = torch.sin(torch.arange(160) * 0.3)[None] * 0.3
    batches = [Batch(wav, random_mel(vocoder, frames=10), ["x"], labels=[s]) for s in ("ann", "bo")]
    first, second = (float(vocoder.bits_per_sample(batch)) for batch in batches)
    assert first != second
    with pytest.raises(WavewrightError, match="speaker 'cy' of the corpus is unknown to 'wavenet'"):
        vocoder.bits_per_sample(Batch(wav, batches[0].mel, ["x"], labels=["cy"]))


@pytest.mark.parametrize("name", ["wavenet logistics", "fatchord logistics"])
def test_a_copy_has_its_own_loop(name: str) -> None:
    vocoder = build(name)
    expected = generate(vocoder, Engine())
    twin = copy.deepcopy(vocoder)
    with torch.no_grad():
        for parameter in vocoder.parameters():
            parameter.zero_()
    assert torch.equal(generate(twin, Engine()), expected)


def test_windows_overlap_by_context_and_smoothing() -> None:
    vocoder = build("fatchord labels")
    mel = random_mel(vocoder, frames=70)
    windows: list[LoopWindow] = list(vocoder._split_windows([mel], 32))
    assert [window.frames for window in windows] == [32, 32, 6]
    assert [window.before for window in windows] == [0, SMOOTHING_FRAMES, SMOOTHING_FRAMES]
    context = vocoder.crops.context_frames
    for window, start in zip(windows, (0, 32, 64), strict=True):
        assert window.mel is not None
        inner = window.mel[..., context + window.before :][..., : window.frames]
        torch.testing.assert_close(inner, mel[..., start : start + window.frames])


def test_chunks_without_frames_change_nothing() -> None:
    vocoder = build("wavenet labels")
    mel = random_mel(vocoder)
    chunks = [mel[..., :0], mel[..., :4], mel[..., :0], mel[..., 4:]]
    streamed = torch.cat(list(vocoder.stream(chunks, seed=0)), dim=1)
    expected = vocoder.generate(mel, seed=0)
    torch.testing.assert_close(streamed, expected, rtol=0, atol=rounding(vocoder))
    assert vocoder.generate(mel[..., :0], seed=0).shape == (1, 0)


@pytest.mark.parametrize("name", ["wavenet labels", "fatchord logistics", "pruned"])
def test_it_generates_in_inference_mode(name: str) -> None:
    vocoder = build(name)
    mel = random_mel(vocoder)
    outside = vocoder.generate(mel, seed=0)
    with torch.inference_mode():
        assert torch.equal(vocoder.generate(mel, seed=0), outside)
        again = build(name).generate(mel, seed=0)
    assert torch.equal(again, outside)
