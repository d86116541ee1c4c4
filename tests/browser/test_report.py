"""The report in a real browser, from disk: it plays, it switches, it asks for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Tab, complaints, requests
from tests.browser.report_page import PLAYERS, SECONDS, UTTERANCES
from tests.support.reports import small_report

pytestmark = pytest.mark.browser
ARTICLE = "document.querySelectorAll('article')[{}]"
CLIP = ARTICLE + '.querySelector(\'.clip[data-system="{}"][data-condition="{}"] audio\')'
RECORDING, COPY, OTHER, TTS = (
    CLIP.format(0, system, condition)
    for system, condition in ((0, ""), (1, "copy"), (2, "copy"), (1, "tts"))
)
DECODED = (
    "Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {"
    "audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(-1);"
    "audio.preload = 'auto'; audio.load();})))"
)


@pytest.fixture(scope="module")
def tight_page(tmp_path_factory: pytest.TempPathFactory, page: Path) -> Path:
    """Page with room for about half of the sounds."""
    megabytes = 0.5e-6 * page.stat().st_size
    folder = tmp_path_factory.mktemp("tight")
    return small_report(folder, utterances=UTTERANCES, seconds=SECONDS, max_megabytes=megabytes)[0]


def pressed(tab: Tab, article: int = 0) -> list[str]:
    """Labels of the pressed buttons of an utterance: system, condition."""
    return list(
        tab.run(
            f"[...{ARTICLE.format(article)}.querySelectorAll('[aria-pressed=true]')]"
            ".map(button => button.textContent.replace(/^\\s*\\d\\s*/, '').trim())"
        )
    )


def use(tab: Tab, article: int = 0) -> None:
    """Put an utterance into focus."""
    tab.run(f"{ARTICLE.format(article)}.focus(), true")


def playing(tab: Tab) -> list[str]:
    """Names of the players that sound."""
    found = "[...document.querySelectorAll('audio')].filter(a => !a.paused).map(a => a.ariaLabel)"
    return list(tab.run(found))


# It opens


def test_it_opens_without_a_request_or_a_complaint(tab: Tab, page: Path) -> None:
    for number in range(3):
        tab.run(f"document.querySelectorAll('audio')[{number}].play().then(() => true)")
    tab.click("article .play")
    tab.press("2")
    assert complaints(tab) == []
    assert requests(tab) == [page.as_uri()]


def test_its_policy_stops_a_request(tab: Tab, page: Path) -> None:
    """The check above can fail: an image from elsewhere is refused and complained about."""
    script = "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))"
    tab.run(f"{script}, true")
    tab.wait(lambda: len(complaints(tab)) > 0)
    assert "Content Security Policy" in str(complaints(tab))
    assert not any("example.org" in address for address in requests(tab)[:1])


def test_every_player_can_be_decoded(tab: Tab) -> None:
    lengths = tab.run(DECODED)
    assert len(lengths) == PLAYERS
    assert all(0.89 * SECONDS < length < 1.01 * SECONDS for length in lengths)


def test_sounds_beside_the_page_play_from_disk(browser: Tab, tight_page: Path) -> None:
    browser.open(tight_page)
    beside = browser.run("document.querySelectorAll('audio:not([src^=\"data:\"])').length")
    assert 0 < beside < PLAYERS
    assert all(length > 0.89 * SECONDS for length in browser.run(DECODED))
    asked = [address for address in requests(browser) if address != tight_page.as_uri()]
    assert len(set(asked)) == beside
    assert all(address.startswith(f"{tight_page.parent.as_uri()}/wavs/") for address in asked)
    assert complaints(browser) == []


# It plays


@pytest.mark.parametrize(("key", "other", "share"), [("2", OTHER, 1.0), ("c", TTS, 0.9)])
def test_switching_goes_on_at_the_same_moment(tab: Tab, key: str, other: str, share: float) -> None:
    """Within 50 ms; at the same share of the sentence where the timing is another."""
    use(tab)
    tab.press("1")
    tab.press(" ")
    tab.wait(lambda: tab.run(f"{COPY}.currentTime") > 0.5)
    tab.run(f"window.began = -1, {other}.onplaying = e => began = e.target.currentTime")
    tab.press(key)
    tab.wait(lambda: tab.run("began") >= 0)
    assert tab.run(f"{COPY}.paused") is True
    assert tab.run("began") == pytest.approx(share * tab.run(f"{COPY}.currentTime"), abs=0.05)
    assert len(playing(tab)) == 1


def test_keys_choose_systems_and_the_recording(tab: Tab) -> None:
    use(tab)
    tab.press("1")
    assert pressed(tab) == ["griffinlim", "Copy-synthesis"]
    tab.press("2")
    assert pressed(tab) == ["toy:v1", "Copy-synthesis"]
    tab.press("c")
    assert pressed(tab) == ["toy:v1", "Free-running TTS"]
    tab.press("0")
    assert pressed(tab)[0] == "Recording"
    tab.press("9")  # there is no ninth system
    assert pressed(tab)[0] == "Recording"


def test_space_plays_and_pauses(tab: Tab) -> None:
    use(tab)
    tab.press("0")
    tab.press(" ")
    tab.wait(lambda: playing(tab) != [])
    assert playing(tab)[0].endswith("the recording")
    tab.wait(lambda: tab.run("document.querySelector('.play').textContent") == "Pause")
    tab.press(" ")
    tab.wait(lambda: playing(tab) == [])
    tab.wait(lambda: tab.run("document.querySelector('.play').textContent") == "Play")


def test_arrows_go_to_the_next_utterance_and_keep_the_choice(tab: Tab) -> None:
    use(tab)
    tab.press("2")
    tab.press("ArrowRight")
    focused = "[...document.querySelectorAll('article')].indexOf(document.activeElement)"
    assert tab.run(focused) == 1
    assert pressed(tab, 1) == ["toy:v1", "Copy-synthesis"]
    tab.press("ArrowLeft")
    assert tab.run(focused) == 0


def test_keys_can_be_switched_off(tab: Tab) -> None:
    tab.click("#keys")
    use(tab)
    before = pressed(tab)
    tab.press("0")
    tab.press(" ")
    assert pressed(tab) == before
    assert playing(tab) == []


def test_typing_into_a_filter_is_no_command(tab: Tab) -> None:
    tab.run("document.querySelector('#numbers details').open = true")
    before = pressed(tab)
    tab.click("#values-filters input")
    for key in "0 c":
        tab.press(key)
    assert tab.run("document.querySelector('#values-filters input').value") == "0 c"
    assert pressed(tab) == before


def test_buttons_do_what_keys_do(tab: Tab) -> None:
    tab.click("article button[value='2']")
    tab.click("article .play")
    tab.wait(lambda: playing(tab) != [])
    assert pressed(tab)[0] == "toy:v1"
    tab.click("article button[value='tts']")
    tab.wait(lambda: [name.endswith("free-running TTS") for name in playing(tab)] == [True])


def test_the_slider_moves_the_sound(tab: Tab) -> None:
    tab.click("article button[value='0']")
    tab.run(f"{RECORDING}.preload = 'auto', true")
    tab.wait(lambda: tab.run(f"{RECORDING}.readyState") > 0)
    tab.click("article .position")
    tab.wait(lambda: tab.run(f"{RECORDING}.currentTime") > 0)
    assert tab.run(f"{RECORDING}.currentTime") == pytest.approx(SECONDS / 2, abs=0.1)
    said = tab.run("document.querySelector('.position').ariaValueText")
    assert said == f"{SECONDS / 2:.1f} of {SECONDS:.1f} s"


def test_the_stage_shows_recording_system_difference_and_pitch(tab: Tab) -> None:
    tab.click("article button[value='1']")
    kinds = "[...document.querySelectorAll('article .stage')[0].querySelectorAll('img, svg')]"
    shown = tab.run(f"{kinds}.map(one => one.getAttribute('class'))")
    assert shown[:3] == ["mel", "mel", "difference"]
    tab.click("article button[value='tts']")
    assert "difference" not in tab.run(f"{kinds}.map(one => one.getAttribute('class'))")
    tab.click("article button[value='0']")
    assert tab.run(f"{kinds}.filter(one => one.matches('.mel')).length") == 1


def test_a_system_that_failed_cannot_be_chosen(tab: Tab) -> None:
    names = tab.run("[...document.querySelectorAll('article h3')].map(h => h.textContent.trim())")
    place = next(index for index, name in enumerate(names) if name.startswith("made-002"))
    use(tab, place)
    tab.press("1")
    if pressed(tab, place)[1] == "Copy-synthesis":
        tab.press("c")
    button = f"{ARTICLE.format(place)}.querySelector('button[value=\"2\"]')"
    assert tab.run(f"{button}.disabled") is True
    tab.press("2")
    assert pressed(tab, place) == ["griffinlim", "Free-running TTS"]


def test_plain_players_still_work_and_only_one_sounds(tab: Tab) -> None:
    tab.run(f"{RECORDING}.play().then(() => true)")
    tab.run(f"{CLIP.format(1, 1, 'copy')}.play().then(() => true)")
    tab.wait(lambda: len(playing(tab)) == 1)
    assert tab.run("document.querySelectorAll('.clip.playing').length") == 1
