"""Answers of listeners: reading, screening, scores and their intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from tests.support.listeners import (
    attentive,
    made_test,
    session,
    systems_of,
)
from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ListeningKey,
    TestKind,
    Trial,
    read_key,
)
from wavewright.evaluation.listening.ratings import compute_ratings, import_ratings
from wavewright.evaluation.listening.ratings_statistics import (
    binomial_greater,
    clustered_mean,
)
from wavewright.evaluation.listening.ratings_table import ratings_markdown
from wavewright.evaluation.listening.screening import screen_listeners
from wavewright.evaluation.listening.sessions import ListenerSession, read_sessions
from wavewright.evaluation.statistics import holm, sign_flip

KINDS: tuple[TestKind, ...] = ("mos", "ab", "abx")


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> dict[TestKind, tuple[Path, ListeningKey]]:
    return {kind: made_test(tmp_path_factory.mktemp(kind), kind, utterances=8) for kind in KINDS}


# Results


def save(folder: Path, *sessions: ListenerSession) -> Path:
    folder.mkdir(exist_ok=True)
    for one in sessions:
        (folder / f"ratings-{one.listener}.json").write_text(one.model_dump_json())
    return folder


def test_results_that_do_not_fit_are_refused_by_name(
    tests: dict[TestKind, tuple[Path, ListeningKey]], tmp_path: Path
) -> None:
    _, key = tests["ab"]
    good = session(key, "good", attentive)
    with pytest.raises(WavewrightError, match="no such folder of results"):
        read_sessions(tmp_path / "absent", key)
    with pytest.raises(WavewrightError, match=r"holds no \.json"):
        read_sessions(save(tmp_path / "none"), key)
    again = save(tmp_path / "again", good)
    (again / "copy.json").write_text(good.model_dump_json())
    with pytest.raises(WavewrightError, match=r"listener 'good' has sent .*copy\.json already"):
        read_sessions(again, key)
    wrong: dict[str, dict[str, Any]] = {
        "answers test 'other'": {"test": "other"},
        "answers 9 of the test's 10 trials, 9 answers": {"answers": good.answers[1:]},
        "answers 9 of the test's 10 trials, 10 answers": {
            "answers": (good.answers[0], *good.answers[:-1])
        },
        "answer 'C'; allowed: A, none, B": first_answer(good, answer="C"),
        "not those of the trial": first_answer(good, shown=good.answers[1].shown),
        "not a result .*listener": {"listener": "../../x"},
    }
    for number, (message, change) in enumerate(wrong.items()):
        folder = save(tmp_path / str(number), good.model_copy(update={"listener": "first"}))
        text = json.dumps(good.model_copy(update=change).model_dump(mode="json"))
        (folder / "wrong.json").write_text(text)
        with pytest.raises(WavewrightError, match=rf"wrong\.json: .*{message}"):
            read_sessions(folder, key)
    for text in ("", "{", "[]", '{"schema_version": 2}', "\xff"):
        (folder / "wrong.json").write_text(text, "latin-1")
        with pytest.raises(WavewrightError, match=r"wrong\.json: not ") as caught:
            read_sessions(folder, key)
        assert "\n" not in str(caught.value)


def first_answer(one: ListenerSession, **change: object) -> dict[str, Any]:
    return {"answers": (one.answers[0].model_copy(update=change), *one.answers[1:])}


def test_a_key_is_read_again_or_refused(
    tests: dict[TestKind, tuple[Path, ListeningKey]], tmp_path: Path
) -> None:
    folder, key = tests["mos"]
    assert read_key(folder / "key.json") == key
    with pytest.raises(WavewrightError, match="not readable"):
        read_key(tmp_path / "absent.json")
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(WavewrightError, match=r"key\.json: not the key"):
        read_key(tmp_path / "key.json")


@pytest.mark.parametrize("kind", KINDS)
def test_attentive_listeners_are_used(
    tests: dict[TestKind, tuple[Path, ListeningKey]], kind: TestKind
) -> None:
    _, key = tests[kind]
    sessions = [session(key, name, attentive) for name in ("a", "b")]
    used, excluded = screen_listeners(key, sessions)
    assert (used, excluded) == (sessions, [])


def test_listeners_who_do_not_attend_are_named_with_a_reason(
    tests: dict[TestKind, tuple[Path, ListeningKey]],
) -> None:
    _, key = tests["mos"]
    same = session(key, "same", lambda *_: "4")
    grudging = session(
        key, "grudging", lambda k, t, s, r: "1" if attentive(k, t, s, r) in "15" else "2"
    )
    deaf = session(key, "deaf", attentive)
    deaf = deaf.model_copy(update=first_answer(deaf, plays=(0,)))
    used, excluded = screen_listeners(key, [same, grudging, deaf])
    assert used == []
    assert {one.listener: one.reason for one in excluded} == {
        "same": "failed 2 of 2 attention checks",
        "grudging": "rated natural speech 1.00 and speech in strong noise 1.00",
        "deaf": "did not hear every sound to its end in 1 trials",
    }
    with pytest.raises(WavewrightError, match=r"no listener is left .*same failed 2 of 2"):
        compute_ratings(key, [same])


@pytest.mark.parametrize("kind", ["ab", "abx"])
def test_always_a_fails_the_checks_of_pairs(
    tests: dict[TestKind, tuple[Path, ListeningKey]], kind: TestKind
) -> None:
    _, key = tests[kind]
    _, excluded = screen_listeners(key, [session(key, "lazy", lambda *_: "A")])
    assert [one.reason for one in excluded] == ["failed 1 of 2 attention checks"]


# Numbers


def test_scores_are_those_that_listeners_gave(
    tests: dict[TestKind, tuple[Path, ListeningKey]], tmp_path: Path
) -> None:
    folder, key = tests["mos"]
    sessions = [session(key, f"l{index}", attentive) for index in range(7)]
    lazy = session(key, "lazy", lambda *_: "5")
    answers = save(tmp_path / "answers", *sessions, lazy)
    result = import_ratings(answers, folder / "key.json", tmp_path / "out")
    assert {row.system: row.score.mean for row in result.scores} == {
        "natural": 5,
        "close-one": 4,
        "noisy-one": 3,
    }
    gaps = {(row.a, row.b): row for row in result.differences}
    row = gaps["close-one", "noisy-one"]
    interval = (row.difference.mean, row.difference.low, row.difference.high)
    assert interval == pytest.approx((1, 1, 1))
    assert row.p == pytest.approx(2 / 2**7)
    assert row.p_holm == pytest.approx(3 * 2 / 2**7)
    assert [one.listener for one in result.excluded] == ["lazy"]
    text = (tmp_path / "out" / "ratings.md").read_text()
    assert "| natural | 5.00 | [5.00, 5.00] |" in text
    assert "- lazy: failed 2 of 2 attention checks" in text
    assert json.loads((tmp_path / "out" / "ratings.json").read_text())["kind"] == "mos"


def test_preferences_name_the_system_whatever_its_letter(
    tests: dict[TestKind, tuple[Path, ListeningKey]],
) -> None:
    _, key = tests["ab"]
    sessions = [session(key, f"l{index}", attentive) for index in range(6)]
    (row,) = compute_ratings(key, sessions).preferences
    assert (row.a, row.b) == ("close-one", "noisy-one")
    assert (row.for_a, row.neither, row.for_b) == (48, 0, 0)
    assert row.share.mean == 1.0
    assert row.p == pytest.approx(2 / 2**6)

    def undecided(key: ListeningKey, trial: Trial, shown: tuple[str, ...], reference: str) -> str:
        right = attentive(key, trial, shown, reference)
        return right if trial.id in key.checks else "none"

    (row,) = compute_ratings(
        key, [session(key, f"l{index}", undecided) for index in range(6)]
    ).preferences
    assert (row.neither, row.share.mean, row.p) == (48, 0.5, 1.0)


def test_abx_counts_who_was_told_from_the_recording(
    tests: dict[TestKind, tuple[Path, ListeningKey]],
) -> None:
    _, key = tests["abx"]

    def hears_noise(key: ListeningKey, trial: Trial, shown: tuple[str, ...], reference: str) -> str:
        right = attentive(key, trial, shown, reference)
        return "A" if "close-one" in systems_of(key, shown) else right

    rows = compute_ratings(key, [session(key, f"l{index}", hears_noise) for index in range(6)])
    result = {row.system: row for row in rows.discriminations}
    assert (result["noisy-one"].right, result["noisy-one"].answers) == (48, 48)
    assert result["noisy-one"].p == pytest.approx(1 / 2**6)
    assert result["close-one"].share.mean == 0.5
    assert result["close-one"].p_binomial > 0.5


def test_few_listeners_are_called_too_few(tests: dict[TestKind, tuple[Path, ListeningKey]]) -> None:
    _, key = tests["mos"]
    result = compute_ratings(key, [session(key, f"l{index}", attentive) for index in range(5)])
    assert result.scores[0].score.low is None
    assert result.differences[0].p is None
    text = ratings_markdown(result)
    assert "**Too few:**" in text
    assert "| natural | 5.00 | too few |" in text


def test_names_cannot_break_the_table(tests: dict[TestKind, tuple[Path, ListeningKey]]) -> None:
    _, key = tests["mos"]
    result = compute_ratings(key, [session(key, "a", attentive)])
    row = result.scores[0].model_copy(update={"system": "a|b<i>"})
    result = result.model_copy(update={"scores": (row,), "title": "<script>|"})
    text = ratings_markdown(result)
    assert "| a\\|b&lt;i> | 5.00 |" in text
    assert "<script>" not in text


# Statistics


def crossed(rng: np.random.Generator, listeners: int, utterances: int) -> np.ndarray:
    """Answers with effects of the listener, of the utterance and of chance, around 0."""
    return np.asarray(
        0.6 * rng.normal(size=(listeners, 1))
        + 0.4 * rng.normal(size=(1, utterances))
        + 0.7 * rng.normal(size=(listeners, utterances))
    )


@pytest.mark.slow
def test_intervals_cover_the_mean_where_independent_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    clustered = independent = 0
    for _ in range(200):
        answers = crossed(rng, 15, 20)
        result = clustered_mean(answers)
        assert result.low is not None
        assert result.high is not None
        clustered += result.low <= 0 <= result.high
        half = 1.96 * answers.std(ddof=1) / answers.size**0.5
        independent += abs(answers.mean()) <= half
    assert 0.88 <= clustered / 200 <= 0.99
    assert independent / 200 < 0.7


def test_an_interval_needs_six_of_each() -> None:
    rng = np.random.default_rng(0)
    assert clustered_mean(crossed(rng, 5, 40)).low is None
    assert clustered_mean(crossed(rng, 40, 5)).low is None
    assert clustered_mean(crossed(rng, 6, 6)).low is not None


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_sign_flips_are_those_of_scipy(alternative: str) -> None:
    effects = np.random.default_rng(1).normal(0.4, 1.0, size=9)
    expected = scipy.stats.permutation_test(
        (effects,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=np.inf
    )
    assert sign_flip(effects, alternative) == pytest.approx(expected.pvalue)  # type: ignore[arg-type]


def test_sign_flips_of_many_listeners_have_the_level_that_they_claim() -> None:
    rng = np.random.default_rng(2)
    chances = [sign_flip(rng.normal(size=20)) for _ in range(300)]
    assert 0.02 <= np.mean([p is not None and p < 0.05 for p in chances]) <= 0.09
    assert sign_flip(np.full(20, 0.5)) == pytest.approx(1e-4, abs=2e-4)
    assert sign_flip(np.zeros(20)) == 1.0
    assert sign_flip(np.ones(5)) is None


def test_holm_corrects_for_the_number_of_comparisons() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.02, None, 0.5]) == [0.04, None, 0.5]
    assert holm([]) == []


def test_the_binomial_is_that_of_scipy() -> None:
    for right, answers in ((60, 100), (0, 7), (7, 7), (900, 1700)):
        expected = scipy.stats.binomtest(right, answers, alternative="greater").pvalue
        assert binomial_greater(right, answers) == pytest.approx(expected)
