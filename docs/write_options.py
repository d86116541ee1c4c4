"""Write docs/options.md, every option of every stage, from the stages themselves.

    python docs/write_options.py

tests/project/test_docs.py holds the page to the stages.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / root) for root in ("pipeline", "stages")]

from wavewright import registry
from wavewright.stage import OptionInfo, Stage, options_of

_HEAD = """\
# Options of the stages

Written by `docs/write_options.py` from the stages; `wavewright config stage:NAME` prints the same.
A recipe sets an option in the section of its stage (`train.max_steps: 2000`), a command with
`--set train.max_steps=2000`. `mel`, `sample_rate` and `seed` may also stand at the recipe's top
level, for all stages.

A changed *keyed* option makes the stage run again. An *unkeyed* one cannot change the result. A
*budget* says how far to go; a larger one continues the training.
"""


def main() -> None:
    """Write the page."""
    (HERE / "options.md").write_text(page())


def page() -> str:
    """Markdown of the whole page."""
    names = registry.FIRST_PARTY["stages"]
    return "\n".join([_HEAD, *(_section(registry.find("stages", name)) for name in names)])


def _section(stage: Stage) -> str:
    rows = "\n".join(map(_row, options_of(stage)))
    each = f" Runs once per entry of `{stage.foreach}`." if stage.foreach else ""
    return (
        f"## {stage.name}\n\n{stage.summary}{each}\n\n"
        f"| option | type | default | kind | |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(option: OptionInfo) -> str:
    values = f": {', '.join(f'`{choice}`' for choice in option.choices)}" if option.choices else ""
    default = "required" if option.required else f"`{_yaml(option.default)}`"
    cells = [f"`{option.name}`", option.type + values, default, option.kind, sentence(option.doc)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def sentence(doc: str) -> str:
    """Documentation with a capital letter first and a full stop last."""
    return doc[:1].upper() + doc[1:] + ("" if doc.endswith(".") else ".")


def _yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    main()
