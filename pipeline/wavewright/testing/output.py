"""Checks of what `generate` and `sample` return, and of saving and loading."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from wavewright.audio.filters import Gain
from wavewright.checkpoints.checkpoint import read_weights, write_weights
from wavewright.errors import WavewrightError
from wavewright.models.capabilities import Sampler, require_sampler
from wavewright.models.trainable import Trainable
from wavewright.models.vocoder import Vocoder
from wavewright.testing.inputs import (
    FRAMES,
    check_wav,
    close,
    example_mel,
    expect,
    generate_wav,
    ready,
    refuses,
)


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
    expect(
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
    for frames in (FRAMES, 1):
        wav = ready(vocoder).generate(example_mel(vocoder, frames=frames), seed=0)
        what = f"generate() of 2 mels of {frames} frames, each of {vocoder.hop_length} samples"
        check_wav(wav, (2, frames * vocoder.hop_length), what)


def check_determinism(vocoder: Vocoder) -> None:
    """Equal mels and seeds give equal waveforms, whatever else draws random numbers."""
    vocoder, mel = ready(vocoder), example_mel(vocoder)
    first = vocoder.generate(mel, seed=3)
    torch.rand(7)
    expect(
        torch.equal(first, vocoder.generate(mel, seed=3)),
        "generate() with one seed must give one waveform: draw all noise from the seed, "
        "such as by declaring it in noise_inputs(), and leave no dropout on in eval mode",
    )


def check_batch(vocoder: Vocoder) -> None:
    """A batch equals its items: item i draws its noise from (seed, i) and sees no other item."""
    vocoder, mel = ready(vocoder), example_mel(vocoder, batch=3)
    together = vocoder.generate(mel, seed=3)
    for size in (1, 2):
        expect(
            close(vocoder.generate(mel[:size], seed=3), together[:size]),
            f"the first {size} of 3 items must come out as they do without the others: average, "
            "normalise and draw for each item alone",
        )
    one = mel[:1]
    if not torch.equal(vocoder.generate(one, seed=3), vocoder.generate(one, seed=4)):
        twins = vocoder.generate(torch.cat([one, one]), seed=3)
        expect(
            not torch.equal(twins[0], twins[1]),
            "item i of a batch must draw from (seed, i): two equal mels got the same noise",
        )


def check_refusals(vocoder: Vocoder) -> None:
    """Mels of the wrong shape are refused with a WavewrightError, and so is `sample`."""
    vocoder, mel = ready(vocoder), example_mel(vocoder)
    how = "begin generate() with self.check_mel(mel)"
    refuses(lambda: vocoder.generate(mel[0], seed=0), "a mel without a batch dimension", how)
    refuses(lambda: vocoder.generate(mel[:, 1:], seed=0), "a mel with a band missing", how)
    if isinstance(vocoder, Sampler):
        refuses(lambda: vocoder.sample(1, seed=0), "sample(), because it is driven by mels")


def check_target_steps(vocoder: Vocoder) -> None:
    """The `target_steps` of its mel are undone on the output of a network that is trained."""
    if not isinstance(vocoder, Trainable):
        return
    steps = (Gain(factor=0.5),)
    mel = vocoder.mel_spec.model_copy(update={"target_steps": steps})
    config = vocoder.config.model_copy(update={"mel": mel})
    other = type(vocoder)(config)
    other.load_inference_state(vocoder.inference_state())
    given = example_mel(vocoder)
    wav = (ready(vocoder).generate(given, seed=3) / 0.5).clamp(-1.0, 1.0)
    expect(
        close(other.eval().generate(given, seed=3), wav),
        "generate() must undo the target_steps of its mel, by self.postprocess(wav), if it learns",
    )


def check_sampling(vocoder: Vocoder) -> None:
    """`sample` of latent and unconditional models gives n seeded waveforms; `generate` refuses."""
    vocoder = require_sampler(ready(vocoder))
    wav = vocoder.sample(2, seed=3)
    check_wav(wav, (2, wav.shape[-1]), "sample(2)")
    expect(
        torch.equal(wav, vocoder.sample(2, seed=3)), "sample() with one seed must give one result"
    )
    expect(close(vocoder.sample(1, seed=3), wav[:1]), "sample(1) must give the first of sample(2)")
    refuses(lambda: vocoder.generate(example_mel(vocoder), seed=0), "mels")


def check_saving(vocoder: Vocoder) -> None:
    """A file of `write_weights` restores the vocoder to the last bit."""
    original = ready(vocoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocoder.safetensors"
        write_weights(path, original, step=0)
        about, state = read_weights(path)
    config = type(original).Config.model_validate(about["config"])
    again = type(original)(config, name=about["name"])
    expect(
        again.config == original.config,
        f"config must survive being saved as JSON: {original.config!r} became {again.config!r}",
    )
    again.load_inference_state(state)
    expect(
        torch.equal(generate_wav(again.eval()), generate_wav(original)),
        "a saved and loaded vocoder must sound the same: keep everything that inference needs in "
        "inference_state()",
    )
