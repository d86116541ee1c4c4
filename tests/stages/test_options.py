"""Options of stages: groups are flattened, and every option describes itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest
from pydantic import Field, PositiveInt, ValidationError

from wavewright.mel.spec import MelSpec
from wavewright.registry import FIRST_PARTY, find
from wavewright.stage import Budget, OptionGroup, Out, Unkeyed, format_type, options_of, stage
from wavewright.training.options import VocoderTrainingOptions


class Shared(OptionGroup):
    """Options of two stages."""

    max_steps: Budget[PositiveInt] = Field(description="Steps in all.")
    workers: Unkeyed[int] = Field(default=0, ge=0, description="Processes.")


class Own(Shared):
    """Options of one of them."""

    rate: float | None = Field(default=None, gt=0, description="Learning rate.")


calls: list[tuple[Any, ...]] = []


@stage(version=1)
def learn(skill: Out, *, name: str, options: Own, note: str = "") -> None:
    """Learn something.

    Args:
        skill: the result.
        name: what to learn,
            in one word.
        options: see `Own`.
        note: a remark.
    """
    calls.append((skill, name, options, note))


def test_a_group_is_flattened_with_its_marks() -> None:
    assert learn.option_order == ("name", "rate", "max_steps", "workers", "note")
    assert learn.options.model_fields.keys() == set(learn.option_order)
    assert learn.budget == "max_steps"
    assert learn.unkeyed == {"workers"}
    with pytest.raises(ValidationError, match="workers"):
        learn.options(name="a", max_steps=1, workers=-1)
    with pytest.raises(ValidationError, match="options"):
        learn.options(name="a", max_steps=1, options={})


def test_a_function_receives_its_group_as_one_object() -> None:
    calls.clear()
    learn("folder", name="a", max_steps=3, rate=0.5)
    assert calls == [("folder", "a", Own(max_steps=3, rate=0.5), "")]


def test_two_options_of_one_name_are_refused() -> None:
    def twice(skill: Out, *, workers: int, options: Own) -> None: ...

    with pytest.raises(TypeError, match="twice: two of its options have one name"):
        stage(version=1)(twice)


def test_every_option_is_described() -> None:
    described = {option.name: option for option in options_of(learn)}
    assert list(described) == list(learn.option_order)
    assert described["name"].required
    assert described["name"].doc == "what to learn, in one word."
    assert described["max_steps"][1:6] == ("integer > 0", True, None, "Steps in all.", "budget")
    assert described["workers"][1:6] == ("integer >= 0", False, 0, "Processes.", "unkeyed")
    assert described["rate"].type == "number > 0 or null"


@pytest.mark.parametrize("name", FIRST_PARTY["stages"])
def test_every_option_of_ours_has_a_sentence(name: str) -> None:
    described = find("stages", name)
    for option in options_of(described):
        assert option.doc, option.name
        assert option.kind == "budget" if option.name == described.budget else option.kind
    required = {option.name for option in options_of(described) if option.required}
    assert required <= {"mel", "seed", "name", "max_steps", "sample_rate"}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (tuple[str, ...], "list of text"),
        (dict[str, Any], "mapping"),
        (MelSpec | str, "mapping (MelSpec) or text"),
        (Annotated[float, Field(ge=0, le=1)], "number >= 0, <= 1"),
        (PositiveInt | None, "integer > 0 or null"),
    ],
)
def test_types_are_put_in_words(annotation: Any, words: str) -> None:
    assert format_type(annotation) == (words, ())


def test_choices_are_listed() -> None:
    field = VocoderTrainingOptions.model_fields["on_bad_step"]
    assert format_type(field.annotation) == ("choice", ("stop", "skip"))


@pytest.mark.slow
def test_describing_options_loads_no_torch(source_environment: dict[str, str]) -> None:
    code = (
        "import sys; from wavewright import registry; from wavewright.stage import options_of\n"
        "for name in registry.FIRST_PARTY['stages']: options_of(registry.find('stages', name))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env=source_environment, check=True)
