"""Contract tests for vocoders, for anybody who writes one.

    from wavewright import create_vocoder
    from wavewright.testing import check_vocoder

    def test_my_vocoder() -> None:
        check_vocoder(create_vocoder("mine", channels=4))

`check_vocoder` is all checks but `check_overfit`, which asks whether it learns. Every check follows
from what the vocoder declares of itself (`conditioning`, `trains`, `streams`, `exports`) and fails
with an AssertionError that says what was expected and, where it can be told, what to do. The
vocoder is left as it was. Give it a small configuration: everything runs on the CPU.
"""

from __future__ import annotations

import contextlib
import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavewright.audio.filters import Gain
from wavewright.checkpoints.checkpoint import read_weights, write_weights
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.interop.exporting.export import export_vocoder
from wavewright.interop.exporting.graph import waveform_graph
from wavewright.interop.exporting.onnx import import_packages, open_session, require_parity
from wavewright.mel.transform import log_mel, silent_mel
from wavewright.models.base import Optimisation, Update
from wavewright.models.vocoder import Batch, Vocoder
from wavewright.nn.receptive_field import Reach

_FRAMES = 12
_LATE = 10**9  # a step by which every adversary has started
_CLOSE = 1e-4
_CLOSE_STREAM = 1e-5


def check_vocoder(vocoder: Vocoder, *, segment_length: int | None = None) -> None:
    """Run every check that applies to the vocoder's declared capabilities.

    Args:
        vocoder: in a small configuration, on the CPU; it is not changed.
        segment_length: samples of the training crops, a multiple of the hop length; None means
            the smallest multiple that its mel can be computed of, or 4096 if that is longer.

    Raises:
        AssertionError: saying what was expected of which capability.
    """
    check_configuration(vocoder)
    if vocoder.conditioning == "mel":
        check_output(vocoder)
        check_determinism(vocoder)
        check_batch(vocoder)
        check_refusals(vocoder)
        check_target_steps(vocoder)
    else:
        check_sampling(vocoder)
    check_saving(vocoder)
    check_reach(vocoder)
    check_streaming(vocoder)
    check_pieces(vocoder)
    check_export(vocoder)
    check_training(vocoder, segment_length=segment_length)


def example_mel(vocoder: Vocoder, *, batch: int = 2, frames: int = _FRAMES) -> Tensor:
    """(batch, n_mels, frames) of noise, each item quieter, in the vocoder's own convention."""
    spec = vocoder.mel
    return log_mel(_noise(batch, max(spec.n_fft, frames * spec.hop_length)), spec)[..., :frames]


def check_configuration(vocoder: Vocoder) -> None:
    """It is built of a configuration and a name, and every one of its `variants` has sound fields.

    No vocoder of a variant's size is built.
    """
    system = type(vocoder)
    try:
        named = system(vocoder.config, name="another")
    except TypeError as error:
        raise AssertionError(
            f"{system.__name__} must be built by (config, *, name), as checkpoints and "
            f"create_vocoder() build it: {error}"
        ) from error
    _expect(
        named.name == "another" and named.config == vocoder.config,
        f"{system.__name__} must keep the name and the configuration it is built of: begin "
        "__init__ with super().__init__(config, name=name)",
    )
    for variant in (None, *system.variants):
        try:
            system.configure(vocoder.name.partition(":")[0], variant)
        except WavewrightError as error:
            which = f"variants['{variant}']" if variant else "the default configuration"
            raise AssertionError(f"{which} must be valid: {error}") from error


def check_output(vocoder: Vocoder) -> None:
    """`generate` gives frames * hop_length float32 samples in [-1, 1], without a graph."""
    for frames in (_FRAMES, 1):
        wav = _ready(vocoder).generate(example_mel(vocoder, frames=frames), seed=0)
        what = f"generate() of 2 mels of {frames} frames, each of {vocoder.hop_length} samples"
        _check_wav(wav, (2, frames * vocoder.hop_length), what)


def check_determinism(vocoder: Vocoder) -> None:
    """The same mel and seed give the same waveform, whatever else draws random numbers."""
    vocoder, mel = _ready(vocoder), example_mel(vocoder)
    first = vocoder.generate(mel, seed=3)
    torch.rand(7)
    _expect(
        torch.equal(first, vocoder.generate(mel, seed=3)),
        "generate() with one seed must give one waveform: draw all noise from the seed, "
        "such as by declaring it in noises(), and leave no dropout on in eval mode",
    )


def check_batch(vocoder: Vocoder) -> None:
    """A batch equals its items: item i draws its noise from (seed, i) and sees no other item."""
    vocoder, mel = _ready(vocoder), example_mel(vocoder, batch=3)
    together = vocoder.generate(mel, seed=3)
    for size in (1, 2):
        _expect(
            _close(vocoder.generate(mel[:size], seed=3), together[:size]),
            f"the first {size} of 3 items must come out as they do without the others: average, "
            "normalise and draw for each item alone",
        )
    one = mel[:1]
    if not torch.equal(vocoder.generate(one, seed=3), vocoder.generate(one, seed=4)):
        twins = vocoder.generate(torch.cat([one, one]), seed=3)
        _expect(
            not torch.equal(twins[0], twins[1]),
            "item i of a batch must draw from (seed, i): two equal mels got the same noise",
        )


def check_refusals(vocoder: Vocoder) -> None:
    """Mels of the wrong shape are refused with a WavewrightError, and so is `sample`."""
    vocoder, mel = _ready(vocoder), example_mel(vocoder)
    how = "begin generate() with self.check_mel(mel)"
    _refuses(lambda: vocoder.generate(mel[0], seed=0), "a mel without a batch dimension", how)
    _refuses(lambda: vocoder.generate(mel[:, 1:], seed=0), "a mel with a band missing", how)
    _refuses(lambda: vocoder.sample(1, seed=0), "sample(), because it is driven by mels")


def check_target_steps(vocoder: Vocoder) -> None:
    """With `target_steps` in its mel, what the network says becomes speech again, or it refuses."""
    steps = (Gain(factor=0.5),)
    mel = vocoder.mel.model_copy(update={"target_steps": steps})
    config = vocoder.config.model_copy(update={"mel": mel})
    if vocoder.trains and not vocoder.undoes_steps:
        _refuses(
            lambda: type(vocoder)(config),
            "a mel with target_steps, as undoes_steps is False",
            "begin __init__ with super().__init__(config, name=name)",
        )
        return
    other = type(vocoder)(config)
    other.load_inference_state(vocoder.inference_state())
    given = example_mel(vocoder)
    wav = _ready(vocoder).generate(given, seed=3)
    if vocoder.trains:
        wav = (wav / 0.5).clamp(-1.0, 1.0)
    _expect(
        _close(other.eval().generate(given, seed=3), wav),
        "generate() must undo the target_steps of its mel, by self.to_speech(wav), if it learns",
    )


def check_sampling(vocoder: Vocoder) -> None:
    """`sample` of latent and unconditional models gives n seeded waveforms; `generate` refuses."""
    vocoder = _ready(vocoder)
    wav = vocoder.sample(2, seed=3)
    _check_wav(wav, (2, wav.shape[-1]), "sample(2)")
    _expect(
        torch.equal(wav, vocoder.sample(2, seed=3)), "sample() with one seed must give one result"
    )
    _expect(
        _close(vocoder.sample(1, seed=3), wav[:1]), "sample(1) must give the first of sample(2)"
    )
    _refuses(lambda: vocoder.generate(example_mel(vocoder), seed=0), "mels")


def check_saving(vocoder: Vocoder) -> None:
    """What `write_weights` stores makes the same vocoder again, to the last bit."""
    original = _ready(vocoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocoder.safetensors"
        write_weights(path, original, step=0)
        about, state = read_weights(path)
    config = type(original).Config.model_validate(about["config"])
    again = type(original)(config, name=about["name"])
    _expect(
        again.config == original.config,
        f"config must survive being saved as JSON: {original.config!r} became {again.config!r}",
    )
    again.load_inference_state(state)
    _expect(
        torch.equal(_speak(again.eval()), _speak(original)),
        "a saved and loaded vocoder must sound the same: keep everything that inference needs in "
        "inference_state()",
    )


def check_streaming(vocoder: Vocoder) -> None:
    """`stream` joined equals `generate` of the whole, or refuses if `streams` is False.

    In chunks of one frame, of several, of none, and all at once; of one frame and of many. Where
    `look_ahead` is declared, a frame is spoken once so many more have arrived.
    """
    vocoder = _ready(vocoder)
    if not vocoder.streams:
        mel = example_mel(vocoder, batch=1)
        _refuses(lambda: list(vocoder.stream(torch.split(mel, 5, dim=-1))), "stream()")
        return
    _expect(not list(vocoder.stream([], seed=0)), "a stream of no mel must say nothing")
    for frames in (1, 2, 2 * (vocoder.look_ahead or 0) + _FRAMES):
        mel = example_mel(vocoder, frames=frames)
        whole = vocoder.generate(mel, seed=0)
        for sizes in ([frames], [1] * frames, [0, 1, 4, 0, 2, frames]):
            chunks = list(_chunks(mel, sizes))
            joined = torch.cat(list(vocoder.stream(chunks, seed=0)), dim=-1)
            cut = f"{frames} frames in chunks of {', '.join(map(str, sizes[:6]))}"
            _expect(
                joined.shape == whole.shape,
                f"streamed pieces must join to {tuple(whole.shape)}, found {tuple(joined.shape)} "
                f"of {cut}",
            )
            error = float((joined - whole).abs().max())
            _expect(
                error <= _CLOSE_STREAM,
                f"streamed pieces joined must equal generate() of the whole: {cut} differ by "
                f"{error:.2g}; is reach, {vocoder.reach}, all that a sample depends on?",
            )
    if vocoder.look_ahead is not None:
        _check_promptness(vocoder, vocoder.look_ahead)


def _check_promptness(vocoder: Vocoder, look_ahead: int) -> None:
    arrived, said = 0, 0

    def arriving() -> Iterator[Tensor]:
        nonlocal arrived
        mel = example_mel(vocoder, batch=1, frames=look_ahead + 4)
        for frame in torch.split(mel, 1, dim=-1):
            due = max(0, arrived - look_ahead)
            _expect(
                said >= due * vocoder.hop_length,
                f"{due} frames must be spoken once {arrived} have arrived, as look_ahead is "
                f"{look_ahead}; found {said} samples",
            )
            arrived += 1
            yield frame

    for piece in vocoder.stream(arriving(), seed=0):
        said += piece.shape[-1]


def _chunks(mel: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """Chunks of these sizes, as long as there are frames."""
    start = 0
    for size in sizes:
        yield mel[..., start : start + size]
        start += size


def check_reach(vocoder: Vocoder) -> None:
    """No sample depends on a frame beyond the declared `reach`, and some do on nearly the last.

    A frame that is no number makes no number of every sample that it has a part in, be the part
    ever so small.
    """
    vocoder = _ready(vocoder)
    if vocoder.conditioning != "mel" or vocoder.reach is None:
        return
    declared, found = vocoder.reach, measured_reach(vocoder)
    _expect(
        found.before <= declared.before and found.after <= declared.after,
        f"samples depend on {found.before} frames before and {found.after} after their own; "
        f"reach declares {declared.before} and {declared.after}",
    )
    _expect(
        declared.before <= found.before + 2 and declared.after <= found.after + 2,
        f"reach declares {declared.before} frames before and {declared.after} after, but samples "
        f"depend on {found.before} and {found.after} only: streams would wait and work in vain",
    )


@torch.no_grad()
def measured_reach(vocoder: Vocoder) -> Reach:
    """What `reach` should be, by a frame that is no number in the midst of others.

    Args:
        vocoder: whose declared `reach` says how many others; a bound far too low is found out.

    Raises:
        AssertionError: it declares none.
    """
    declared = vocoder.reach
    _expect(declared is not None, "reach is None: nothing is declared that could be measured")
    assert declared is not None
    before, after = declared.after + 3, declared.before + 3  # a frame is heard before it comes
    before += -before % vocoder.grid
    mel = example_mel(vocoder, batch=1, frames=before + 1 + after)
    mel[..., before] = torch.nan
    numbers = vocoder.drawn(1, mel.shape[-1], seed=0)
    for noise, kind in zip(numbers, vocoder.noises(1).values(), strict=True):
        if kind.frames:
            each = kind.shape[-1]
            noise[..., before * each : (before + 1) * each] = torch.nan
    spoilt = vocoder.said(mel, *numbers)[0].isnan().nonzero().flatten() // vocoder.hop_length
    return Reach(before=int(spoilt.max()) - before, after=before - int(spoilt.min()))


def check_pieces(vocoder: Vocoder) -> None:
    """`generate` in pieces equals `generate` of the whole, if `reach` is declared."""
    whole, pieces = _ready(vocoder), _ready(vocoder)
    if whole.conditioning != "mel" or whole.reach is None:
        return
    pieces.piece_frames = 3
    mel = example_mel(whole, frames=sum(whole.reach) + 9)
    _expect(
        _close(pieces.generate(mel, seed=3), whole.generate(mel, seed=3)),
        f"generate() in pieces of 3 frames must give the same as at once; reach is "
        f"{whole.reach}: is that all that a sample depends on?",
    )


def check_export(vocoder: Vocoder) -> None:
    """ONNX Runtime says what `generate` or `sample` says, or it refuses if `exports` is False.

    Of sizes that the exporter has not seen, one frame among them. Without the extra `onnx` nothing
    is checked.
    """
    vocoder = _ready(vocoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocoder.onnx"
        if not vocoder.exports:
            _refuses(lambda: export_vocoder(vocoder, path), "export, because exports is False")
            return
        with contextlib.suppress(MissingExtra):
            import_packages()
            _check_exported(vocoder, path)


def _check_exported(vocoder: Vocoder, path: Path) -> None:
    try:
        export_vocoder(vocoder, path)
        session, graph = open_session(path), waveform_graph(vocoder)
        for batch, frames in ((1, 1), (3, 1), (1, _FRAMES), (2, 40)):
            require_parity(graph, session, batch, frames, seed=3)
    except WavewrightError as error:
        raise AssertionError(
            f"exports is True, so speech() must be one graph for every size: {error}"
        ) from error


def check_overfit(
    vocoder: Vocoder,
    *,
    reaches: float,
    steps: int = 150,
    learning_rate: float = 2e-3,
    samples: int = 4096,
) -> None:
    """It learns a few crops by heart, and says nothing when the mel is of silence.

    The crops, half of which are silent, are learnt with `updates` at step 0 and Adam. How near it
    came is the mean distance between the log-mels (natural logarithm) of what it says and of the
    crops; a fresh network's is several times larger. One that tells likelihoods is asked for these
    instead, since what it says is drawn.

    Args:
        vocoder: small, and configured to learn by a reconstruction loss at step 0.
        reaches: the distance, or the bits per sample, that it must come down to. The vocoders of
            this package come to a distance of 0.3 to 0.5 in 100 to 300 steps.
        steps: of training.
        learning_rate: Adam's.
        samples: of a crop, at least.

    Raises:
        AssertionError: it learnt too little, speaks in silence, or its loss is no number.
    """
    if not vocoder.trains or vocoder.conditioning != "mel":
        return
    model = copy.deepcopy(vocoder).train()
    model.start_training()
    batch = _spoken_batch(model, samples)
    players: dict[str, nn.Module] = {"generator": model, **model.adversaries}
    optimisers = {
        name: torch.optim.Adam(player.parameters(), lr=learning_rate, betas=(0.8, 0.99))
        for name, player in players.items()
    }
    for step in range(steps):
        torch.manual_seed(step)
        for update in model.updates(batch, 0):
            _expect(
                math.isfinite(float(update.loss.detach())),
                f"step {step}: the loss of '{update.player}' is {float(update.loss.detach())}; "
                "lower learning_rate, or bound what is exponentiated and divided by",
            )
            parameters = [p for p in players[update.player].parameters() if p.requires_grad]
            optimisers[update.player].zero_grad()
            update.loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
            optimisers[update.player].step()
    model.eval()
    if model.tells_likelihood:
        bits = float(model.bits_per_sample(batch).mean())
        _expect(
            bits <= reaches, f"after {steps} steps: expected {reaches:g} bits, found {bits:.3g}"
        )
        return
    spec = model.mel.model_copy(update={"log": "ln", "normalisation": None, "floor": 1e-3})
    samples = batch.mel.shape[-1] * model.hop_length
    said = model.generate(batch.mel, seed=3)
    distance = float((log_mel(said, spec) - log_mel(batch.wav[:, :samples], spec)).abs().mean())
    _expect(
        distance <= reaches,
        f"after {steps} steps its log-mels must be within {reaches:g} of the crops', "
        f"found {distance:.3g}",
    )
    silence = torch.from_numpy(silent_mel(model.mel, batch.mel.shape[-1]))[None]
    hushed = model.generate(silence, seed=3)[:, samples // 4 : -(samples // 4)]
    hushed = hushed - hushed.mean(dim=1, keepdim=True)  # a constant is not heard
    # In the mel's band: what lies below and above it, no loss teaches.
    fine = spec.model_copy(update={"floor": 1e-7})
    quiet, loud = (float(log_mel(wav, fine).exp().mean()) for wav in (hushed, batch.wav[:1]))
    _expect(
        quiet < 0.05 * loud,
        f"the mel of silence must come out quiet: found a level of {quiet:.3g}, where speech has "
        f"{loud:.3g}",
    )


def check_training(vocoder: Vocoder, *, segment_length: int | None = None) -> None:
    """`updates` yields players that exist, with finite losses that reach their parameters.

    The loop's part is played with plain gradient descent, at the first step and at a late one.
    """
    model = copy.deepcopy(vocoder).train()
    batch = _example_batch(model, segment_length)
    if not model.trains:
        _refuses(lambda: list(model.updates(batch, 0)), "updates(), because trains is False")
        return
    _check_learns(type(model))
    keys, count = model.inference_state().keys(), model.parameter_count()
    model.start_training()
    _expect(
        model.inference_state().keys() == keys and model.parameter_count() == count,
        "start_training() must not change inference_state(): fold weight norm, and keep "
        "adversaries out of the modules",
    )
    players: dict[str, nn.Module] = {"generator": model, **model.adversaries}
    for name in players:
        rule = model.optimisation(name)
        _expect(
            isinstance(rule, Optimisation),
            f"optimisation('{name}') must be an Optimisation, found {rule!r}",
        )
    seen = [name for step in (0, _LATE) for name in _train_once(model, players, batch, step)]
    idle = sorted(players.keys() - set(seen))
    _expect(
        not idle,
        f"updates() never let {idle} step, neither at step 0 nor at step {_LATE}; every player "
        "must: yield an Update of its name, or leave it out of build_adversaries()",
    )


def _check_learns(system: type[Vocoder]) -> None:
    """It has methods of its own to learn by: those that it inherits refuse to."""
    for name in ("updates", "optimisation"):
        _expect(
            getattr(system, name) is not getattr(Vocoder, name),
            f"trains is True, so {system.__name__} must have a method {name}(); if there is "
            "nothing to learn, declare trains = False",
        )


def _train_once(
    model: Vocoder, players: dict[str, nn.Module], batch: Batch, step: int
) -> Iterator[str]:
    """Names of the players that stepped."""
    updates = model.updates(batch, step)
    _expect(
        isinstance(updates, Iterator),
        f"updates() must yield one Update after the other, found a {type(updates).__name__}",
    )
    while True:
        born = _now()
        update = next(updates, None)
        if update is None:
            return
        where = f"update '{getattr(update, 'player', '?')}' of step {step}"
        _expect(isinstance(update, Update), f"updates() must yield Update, found {update!r}")
        _expect(
            update.player in players,
            f"{where}: no such player; there are {', '.join(players)}",
        )
        _check_loss(update, where, born)
        _descend(update.loss, players[update.player], where)
        yield update.player


def _check_loss(update: Update, where: str, born: int) -> None:
    loss = update.loss
    _expect(loss.ndim == 0, f"{where}: the loss must be a scalar, found {tuple(loss.shape)}")
    value = float(loss.detach())
    _expect(math.isfinite(value), f"{where}: the loss must be finite, found {value}")
    _expect(
        loss.grad_fn is not None,
        f"{where}: the loss must have a graph: compute it outside torch.no_grad(), of what is "
        "not detached",
    )
    _expect(
        _oldest(loss) >= born,
        f"{where}: its graph was partly made before the last yield; no graph may survive a yield, "
        "so compute what it needs again",
    )
    for name, logged in update.logs.items():
        number = float(torch.as_tensor(logged).detach())
        _expect(math.isfinite(number), f"{where}: log '{name}' must be finite, found {number}")


def _descend(loss: Tensor, player: nn.Module, where: str) -> None:
    """One small step of this player alone, as the loop takes it."""
    parameters = [p for p in player.parameters() if p.requires_grad]
    _expect(bool(parameters), f"{where}: the player has no parameters to train")
    player.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    _expect(
        any(bool(g.any()) for g in gradients),
        f"{where}: the loss must reach that player's parameters; every gradient is zero. Is it "
        "another player's loss, or was what this one made detached?",
    )
    broken = [
        name
        for name, p in player.named_parameters()
        if p.grad is not None and not bool(p.grad.isfinite().all())
    ]
    _expect(
        not broken,
        f"{where}: gradients must be finite, found others in {', '.join(broken[:3])}; look for "
        "roots, logarithms and divisions at zero, and for exponentials that nothing bounds",
    )
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-6)
    player.zero_grad(set_to_none=True)


def _now() -> int:
    """A number that every graph node made from here on exceeds (nodes are counted per thread)."""
    return int(torch.ones((), requires_grad=True).clone().grad_fn._sequence_nr())  # type: ignore[union-attr]


def _oldest(loss: Tensor) -> int:
    """The smallest such number in a loss's graph."""
    seen: set[Any] = set()
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return min(int(node._sequence_nr()) for node in seen)


def _example_batch(vocoder: Vocoder, segment_length: int | None) -> Batch:
    hop = vocoder.hop_length
    fewest = -(-max(4096, vocoder.mel.n_fft) // hop) * hop
    samples = vocoder.crop_samples or segment_length or fewest
    wav = _noise(2, samples)
    mel = log_mel(wav, vocoder.mel)[..., : samples // hop]
    return Batch(wav=wav, mel=mel, ids=["first", "second"])


def _spoken_batch(vocoder: Vocoder, at_least: int) -> Batch:
    """A gliding tone with harmonics, and silence."""
    spec = vocoder.mel
    samples = -(-max(at_least, 2 * spec.n_fft) // spec.hop_length) * spec.hop_length
    time = torch.arange(samples) / spec.sample_rate
    pitch = 2 * math.pi * (150 * time + 60 * time.square())
    tone = sum((0.2 / n * torch.sin(n * pitch) for n in range(1, 6)), start=torch.zeros(samples))
    wav = torch.stack([tone, torch.zeros(samples)])
    mel = log_mel(wav, spec)[..., : samples // spec.hop_length]
    return Batch(wav=wav, mel=mel, ids=["tone", "silence"])


def _noise(batch: int, samples: int) -> Tensor:
    level = 0.3 * 0.1 ** torch.arange(float(batch))
    return level[:, None] * torch.randn(
        batch, samples, generator=torch.Generator().manual_seed(0)
    ).clamp(-3, 3)


def _ready(vocoder: Vocoder) -> Vocoder:
    """A copy in eval mode, so that the caller's own is not changed."""
    return copy.deepcopy(vocoder).eval()


def _speak(vocoder: Vocoder) -> Tensor:
    if vocoder.conditioning == "mel":
        return vocoder.generate(example_mel(vocoder), seed=3)
    return vocoder.sample(2, seed=3)


def _check_wav(wav: Tensor, shape: tuple[int, int], what: str) -> None:
    _expect(
        tuple(wav.shape) == shape, f"{what}: expected the shape {shape}, found {tuple(wav.shape)}"
    )
    _expect(wav.dtype == torch.float32, f"{what}: expected float32, found {wav.dtype}")
    odd = int((~wav.isfinite()).sum())
    _expect(not odd, f"{what}: expected finite samples, found {odd} of {wav.numel()} that are not")
    peak = float(wav.detach().abs().max())
    _expect(
        peak <= 1.0,
        f"{what}: expected samples in [-1, 1], found a peak of {peak:.4g}; clamp them",
    )
    _expect(
        not wav.requires_grad,
        f"{what}: expected no graph: generate without gradients, under @torch.no_grad()",
    )


def _refuses(call: Callable[[], object], what: str, how: str = "") -> None:
    advice = f"; {how}" if how else ""
    try:
        call()
    except WavewrightError:
        return
    except Exception as error:
        raise AssertionError(
            f"expected {what} to be refused with a WavewrightError, found "
            f"{type(error).__name__}: {error}{advice}"
        ) from error
    raise AssertionError(
        f"expected {what} to be refused with a WavewrightError, found no error{advice}"
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= _CLOSE


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
