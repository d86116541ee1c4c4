"""sherpa-onnx speaks through an exported vocoder what an acoustic model of one sentence says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import sherpa_onnx
from onnx import TensorProto, numpy_helper
from onnx import helper as make

from tests.clients.inside import answer, run_snippet

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def work(vocoders: dict[str, str], mels: dict[str, str], wrong: str) -> dict[str, Any]:
    """Waveform of each vocoder for its mel, by the documentation's snippet.

    `wrong` is the first one's mel in another logarithm.
    """
    Path("tokens.txt").write_text(
        "_ 0\n" + "".join(f"{c} {i + 1}\n" for i, c in enumerate(_LETTERS))
    )
    Path("lexicon.txt").write_text("good g o o d\nmorning m o r n i n g\n")
    answers: dict[str, Any] = {}
    for name, path in vocoders.items():
        shutil.copy(path, "hifigan.onnx")
        onnx.save(_acoustic(np.load(mels[name])), "matcha.onnx")
        names = run_snippet("sherpa-onnx")
        assert names["said"].sample_rate == 22050
        # By default it shortens silences.
        whole = sherpa_onnx.GenerationConfig()
        whole.silence_scale = 1.0
        said = names["speaker"].generate("good morning", whole)
        answers[name] = np.array(said.samples, np.float32)
        answers[f"{name}_shortened"] = len(names["said"].samples)
    shutil.copy(vocoders["hifigan"], "hifigan.onnx")
    onnx.save(_acoustic(np.load(wrong)), "matcha.onnx")
    try:
        run_snippet("sherpa-onnx")
    except RuntimeError as error:
        answers["wrong"] = str(error)
    return answers


def _acoustic(mel: Any) -> Any:
    """Says one mel, (n_mels, frames), whatever the text; its inputs are there to be fed."""
    names = ("x", "x_length", "noise_scale", "length_scale")
    nodes = [make.make_node("Cast", [name], [f"{name}_float"], to=1) for name in names]
    nodes += [make.make_node("ReduceSum", [f"{n}_float"], [f"{n}_sum"], keepdims=0) for n in names]
    nodes += [
        make.make_node("Sum", [f"{name}_sum" for name in names], ["all"]),
        make.make_node("Mul", ["all", "zero"], ["nothing"]),
        make.make_node("Add", ["said", "nothing"], ["mel"]),
    ]
    kinds = (TensorProto.INT64, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    shapes: tuple[list[Any], ...] = ([1, "tokens"], [1], [1], [1])
    graph = make.make_graph(
        nodes,
        "matcha",
        [make.make_tensor_value_info(*value) for value in zip(names, kinds, shapes, strict=True)],
        [make.make_tensor_value_info("mel", TensorProto.FLOAT, [1, len(mel), "frames"])],
        [numpy_helper.from_array(mel[None].astype(np.float32), "said"),
         numpy_helper.from_array(np.zeros((), np.float32), "zero")],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    facts = {
        "model_type": "matcha-tts", "language": "English", "voice": "en-us", "has_espeak": "0",
        "jieba": "0", "n_speakers": "1", "sample_rate": "22050", "version": "1", "pad_id": "0",
        "use_eos_bos": "0", "num_ode_steps": "3",
    }  # fmt: skip
    make.set_model_props(model, facts)
    return model


if __name__ == "__main__":
    answer(work)
