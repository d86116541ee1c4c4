"""The public kit finds what breaks the contract, and passes what keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.tiny import SPEC
from wavewright import testing
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.capabilities import Exportable, Sampler
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.models.streamable import Streamable
from wavewright.models.vocoder import Vocoder
from wavewright.nn.receptive_field import Span


class ToyConfig(ModelConfig):
    mel: MelSpec = SPEC
    gain: float = 0.1


class Untrained(Streamable):
    """One matrix from a frame to its block of samples, plus seeded noise."""

    Config = ToyConfig
    config: ToyConfig

    def __init__(self, config: ToyConfig, *, name: str = "toy") -> None:
        super().__init__(config, name=name)
        torch.manual_seed(0)
        self.frame = nn.Linear(config.mel.n_mels, config.mel.hop_length)

    def forward(self, mel: Tensor) -> Tensor:
        return torch.tanh(self.config.gain * self.frame(mel.transpose(1, 2)).flatten(1))

    def noise(self, item: int, samples: int, seed: int | None) -> Tensor:
        generator = np.random.default_rng(1000 * (seed or 0) + item)
        return 0.01 * torch.from_numpy(generator.random(samples, dtype=np.float32))

    @torch.no_grad()
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        self.check_mel(mel)
        wav: Tensor = self(mel)
        noise = [self.noise(i, wav.shape[1], seed) for i in range(len(wav))]
        return self.postprocess(wav + torch.stack(noise))

    def input_span(self, samples: Span) -> Span:
        return samples.to_frames(self.hop_length)

    def stream(
        self, mel_chunks: Iterable[Tensor], *, seed: int | None = None, speaker: str | None = None
    ) -> Iterator[Tensor]:
        arrived, samples = [], 0
        for chunk in mel_chunks:
            if not chunk.shape[-1]:
                continue
            arrived.append(chunk)
            wav = self.generate(torch.cat(arrived, dim=-1), seed=seed)
            yield wav[:, samples:]
            samples = wav.shape[1]


class Toy(Untrained):
    """The same network, trained against one critic."""

    def build_discriminators(self) -> dict[str, nn.Module]:
        return {"critic": nn.Linear(self.hop_length, 1)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        return OptimizerConfig(learning_rate=1e-3)

    def score(self, wav: Tensor) -> Tensor:
        score: Tensor = self.discriminators["critic"](wav.reshape(len(wav), -1, self.hop_length))
        return score

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        fake = self(batch.mel).detach()
        critic = self.score(fake).mean() - self.score(batch.wav).square().mean()
        yield Update("critic", critic, {"critic": critic})
        again = self(batch.mel)
        yield Update("generator", F.l1_loss(again, batch.wav) - self.score(again).mean())


class OneSampleShort(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        return super().generate_wav(mel, seed=seed, speaker=speaker)[:, 1:]


class TooLoud(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        return super().generate_wav(mel, seed=seed, speaker=speaker) + 2


class DoublePrecision(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        return super().generate_wav(mel, seed=seed, speaker=speaker).double()


class NotANumber(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        return super().generate_wav(mel, seed=seed, speaker=speaker) * float("nan")


class KeepsTheGraph(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        self.check_mel(mel)
        with torch.enable_grad():
            wav: Tensor = self(mel)
        return wav


class IgnoresTheSeed(Toy):
    def noise(self, item: int, samples: int, seed: int | None) -> Tensor:
        return 0.01 * torch.rand(samples)


class OneNoiseForAll(Toy):
    def noise(self, item: int, samples: int, seed: int | None) -> Tensor:
        return super().noise(0, samples, seed)


class LooksAtItsNeighbours(Toy):
    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        wav = super().generate_wav(mel, seed=seed, speaker=speaker)
        return wav - wav.mean()


class TakesAnything(Toy):
    def check_mel(self, mel: Tensor) -> None:
        if mel.ndim != 3:
            super().check_mel(mel)

    def forward(self, mel: Tensor) -> Tensor:
        return super().forward(F.pad(mel, (0, 0, 0, SPEC.n_mels - mel.shape[1])))


class CrashesOnWrongMels(Toy):
    def check_mel(self, mel: Tensor) -> None:
        """Leaves it to torch."""


class ForgetsItsWeights(Toy):
    def inference_state(self) -> dict[str, Tensor]:
        return {"frame.bias": self.frame.bias.detach()}

    def load_inference_state(self, state: Any) -> None:
        with torch.no_grad():
            self.frame.weight.zero_()


class StreamsSomethingElse(Toy):
    def stream(
        self, mel_chunks: Iterable[Tensor], *, seed: int | None = None, speaker: str | None = None
    ) -> Iterator[Tensor]:
        for chunk in mel_chunks:
            yield self.generate(chunk, seed=0)


class ClaimsNotToStream(Toy):
    look_ahead = None


class LeavesTargetStepsIn(Toy):
    def postprocess(self, wav: Tensor) -> Tensor:
        return wav.clamp(-1, 1)


class NamesNobody(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("actor", F.l1_loss(self(batch.mel), batch.wav))


class LeavesTheCriticIdle(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", F.l1_loss(self(batch.mel), batch.wav))


class TrainsOnTheOthersLoss(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("critic", F.l1_loss(self(batch.mel), batch.wav))


class KeepsAGraphAcrossAYield(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        fake = self(batch.mel)
        yield Update("critic", self.score(fake.detach()).mean())
        yield Update("generator", self.score(fake).mean())


class LosesItsLoss(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", F.l1_loss(self(batch.mel), batch.wav) * float("inf"))


class AdversaryInside(Toy):
    def prepare_for_training(self) -> None:
        super().prepare_for_training()
        self.inside = self.discriminators["critic"]


class HidesItsNoiseFromTheGraph(Exportable, Toy):
    """Exportable, it says."""


class HasSteepRoots(Toy):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", (0 * self(batch.mel)).sqrt().mean())


class HasNoUpdates(Untrained):
    optimizer_config = Toy.optimizer_config


class HasNoOptimizer(Untrained):
    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", F.l1_loss(self(batch.mel), batch.wav))


class GivesAListOfUpdates(Toy):
    def updates(self, batch: Batch, step: int) -> Any:
        return list(super().updates(batch, step))


class TakesNoName(Toy):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)


class LosesItsName(Toy):
    def __init__(self, config: ToyConfig, *, name: str = "toy") -> None:
        super().__init__(config)


class MisnamesAField(Toy):
    variants: ClassVar[Any] = {"loud": {"gian": 0.5}}


class Latent(Sampler, Toy):
    """Driven by noise."""

    conditioning: ClassVar[Any] = "latent"
    look_ahead = None

    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        raise WavewrightError("driven by a latent vector")

    def stream(
        self, mel_chunks: Iterable[Tensor], *, seed: int | None = None, speaker: str | None = None
    ) -> Iterator[Tensor]:
        raise WavewrightError("does not stream")

    @torch.no_grad()
    def sample(self, n: int, *, seed: int | None = None, speaker: str | None = None) -> Tensor:
        noise = torch.stack([self.noise(i, 64, seed) for i in range(n)])
        return torch.tanh(noise * self.frame.bias[0])


class UnseededLatent(Latent):
    def noise(self, item: int, samples: int, seed: int | None) -> Tensor:
        return torch.rand(samples)


def made(system: type[Untrained]) -> Untrained:
    return system(ToyConfig())


@pytest.mark.parametrize("system", [Toy, Untrained, Latent])
def test_a_good_vocoder_passes(system: type[Untrained]) -> None:
    testing.check_vocoder(made(system))


@pytest.mark.parametrize(
    ("system", "check", "words"),
    [
        (OneSampleShort, testing.check_output, r"expected the shape \(2, 192\), found \(2, 191\)"),
        (TooLoud, testing.check_output, r"in \[-1, 1\], found a peak of [123]"),
        (DoublePrecision, testing.check_output, "expected float32, found torch.float64"),
        (NotANumber, testing.check_output, "expected finite samples"),
        (KeepsTheGraph, testing.check_output, "generate without gradients"),
        (IgnoresTheSeed, testing.check_determinism, "draw all noise from the seed"),
        (OneNoiseForAll, testing.check_batch, r"must draw from \(seed, i\)"),
        (LooksAtItsNeighbours, testing.check_batch, "first 1 of 3 items"),
        (TakesAnything, testing.check_refusals, "a mel with a band missing.*found no error"),
        (CrashesOnWrongMels, testing.check_refusals, "refused with a WavewrightError, found"),
        (ForgetsItsWeights, testing.check_saving, "must sound the same"),
        (StreamsSomethingElse, testing.check_streaming, "joined must equal generate"),
        (ClaimsNotToStream, testing.check_streaming, r"stream\(\) to be refused"),
        pytest.param(
            HidesItsNoiseFromTheGraph,
            testing.check_export,
            r"synthesize\(\) must be one graph.*differ",
            marks=pytest.mark.slow,
        ),
        (NamesNobody, testing.check_training, "'actor' of step 0: no such player"),
        (LeavesTheCriticIdle, testing.check_training, r"never let \['critic'\] step"),
        (TrainsOnTheOthersLoss, testing.check_training, "must reach that player's parameters"),
        (KeepsAGraphAcrossAYield, testing.check_training, "no graph may survive a yield"),
        (LosesItsLoss, testing.check_training, "the loss must be finite, found inf"),
        (HasSteepRoots, testing.check_training, r"finite, found others in frame\.weight"),
        (HasNoUpdates, testing.check_training, r"HasNoUpdates must have a method updates\(\)"),
        (HasNoOptimizer, testing.check_training, r"must have a method optimizer_config\(\)"),
        (LeavesTargetStepsIn, testing.check_target_steps, "must undo the target_steps"),
        (
            GivesAListOfUpdates,
            testing.check_training,
            "one Update after the other, found a list",
        ),
        (TakesNoName, testing.check_configuration, r"must be built by \(config, \*, name\)"),
        (LosesItsName, testing.check_configuration, "must keep the name and the configuration"),
        (MisnamesAField, testing.check_configuration, r"variants\['loud'\].* mean 'gain'"),
        (AdversaryInside, testing.check_training, "keep discriminators out of the modules"),
        (UnseededLatent, testing.check_sampling, r"sample\(\) with one seed"),
    ],
)
def test_a_broken_promise_is_found_and_named(
    system: type[Untrained], check: Callable[[Vocoder], None], words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        check(made(system))
    with pytest.raises(AssertionError):
        testing.check_vocoder(made(system))


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_found_while_it_learns() -> None:
    with pytest.raises(AssertionError, match="step 0: the loss of 'generator' is inf; lower"):
        testing.check_overfit(made(LosesItsLoss), reaches=1.0)


def test_it_is_part_of_the_public_api() -> None:
    import wavewright

    assert wavewright.testing is testing
    assert "testing" in dir(wavewright)
