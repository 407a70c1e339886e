"""The tabs in headless Chromium, wide and on a phone, light and dark: what is outside the window, faint, or out of reach."""

from __future__ import annotations

import os

import pytest
from looks import faint_texts, parts_outside
from serving import NO_BROWSER, find_browser

from demos.figures import STYLES

if find_browser() is None and os.environ.get("LONGCLIP_REQUIRE_CHROMIUM") != "1":
    pytest.skip(NO_BROWSER, allow_module_level=True)

pytestmark = pytest.mark.slow

# By the title of a tab, what stands there once it is ready to be looked at.
READY = {
    "Long-text retrieval": "#curve .behind",
    "Which words count": "#reading-on .behind",
    "Text to image": "#words-hint",
    "Embedding maps": "#maps-figures .behind",
    "Evaluate": "#shipped-evaluation .set",
    "Fine-tune": "#start-training",
}
FOLDED = "details:not([open]) > summary:visible, .label-wrap:not(.open):visible"
# Milliseconds for a window to settle after it was made narrow, or folded out.
SETTLING = 400


@pytest.fixture(scope="module")
def drawn(browser, address):
    """A page with every tab that it has been in open, unfolded, and something drawn."""
    # No transitions: what is looked at is what there will be.
    page = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(240_000)
    # A map by PCA is there at once, and nothing goes on behind it.
    page.goto(f"{address}?method=pca")
    page.wait_for_selector(READY["Long-text retrieval"])
    yield page
    page.close()


def open_tab(page, title: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("tab", name=title).click()
    page.wait_for_selector(READY[title], state="attached")
    while page.locator(FOLDED).count():
        page.locator(FOLDED).first.click()
        page.wait_for_timeout(SETTLING / 4)


def in_the_end(find, page) -> list[str]:
    """What is found once the page has settled: plots follow the width of the window when they come to it."""
    for _ in range(100):
        if not (found := find(page)):
            break
        page.wait_for_timeout(SETTLING)
    return found


def test_every_tab_is_within_the_window_and_can_be_read(drawn):
    for title in READY:
        open_tab(drawn, title)
        for width in (1440, 390):
            drawn.set_viewport_size({"width": width, "height": 900})
            for theme in ("light", "dark"):
                drawn.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
                drawn.wait_for_timeout(SETTLING)
                assert in_the_end(parts_outside, drawn) == [], (title, width)
                assert in_the_end(faint_texts, drawn) == [], (title, theme)


def test_what_is_faint_or_outside_is_noticed(drawn):
    open_tab(drawn, "Evaluate")
    drawn.evaluate("""() => document.body.insertAdjacentHTML('beforeend', `<div id="wrong" style="background: #fff">
      <p class="a" style="color: #767676">just enough</p><p class="b" style="color: #777">not enough</p>
      <p class="c" style="opacity: 0.6; color: #444">thin</p>
      <svg><text y="12" style="fill: #7c8594">a label</text></svg>
      <p style="width: 99999px">wide</p></div>`)""")
    faint = [line.split(": ")[1] for line in faint_texts(drawn)]
    assert sorted(faint) == ["a label", "not enough", "thin"]
    assert [line.split(": ")[1] for line in parts_outside(drawn) if line.startswith("P")] == ["wide"]
    drawn.evaluate("document.getElementById('wrong').remove()")


def test_cards_stand_close_and_lead_on_with_mouse_and_keyboard(drawn):
    open_tab(drawn, "Long-text retrieval")
    cards = drawn.locator("#left-ranking .cards li").all()
    boxes = [card.bounding_box() for card in cards]
    second = next(box for box in boxes if box["y"] > boxes[0]["y"])
    shown = drawn.locator("#left-ranking .card").first.bounding_box()
    assert second["y"] - (shown["y"] + shown["height"]) < 20, "no empty row between two rows of cards"
    ways = cards[1].locator(".ways")
    assert ways.evaluate("one => getComputedStyle(one).opacity") == "0"
    cards[1].locator(".card").focus()
    drawn.keyboard.press("Tab")
    assert ways.evaluate("one => getComputedStyle(one).opacity") == "1"
    assert drawn.evaluate("document.activeElement.dataset.like") == cards[1].locator(".card").get_attribute("data-pick")


def test_the_plots_and_their_tables_say_the_same(drawn):
    open_tab(drawn, "Long-text retrieval")
    lines = drawn.evaluate(
        "document.querySelector('#curve .js-plotly-plot').data.map((one) => [one.name, [...one.y], one.line.color])"
    )
    table = drawn.locator("#curve .behind tr").all()
    heads = table[0].locator("th").all_inner_texts()
    rows = [[cell.replace(",", "") for cell in row.locator("th, td").all_inner_texts()] for row in table[1:]]
    for (name, ranks, colour), side in zip(lines, ("left", "right"), strict=True):
        assert colour == STYLES[side][0]
        place = heads.index(f"rank, {name}")
        assert [int(row[place]) for row in rows] == ranks


def test_the_tab_key_stops_once_at_all_drawn_words(drawn):
    open_tab(drawn, "Text to image")
    drawn.click("#draw")
    drawn.wait_for_selector("#board .arm:last-child .judged")
    words = drawn.locator("#board .arm").first.locator("button.word")
    assert words.count() > 20 and drawn.locator("#board .arm").first.locator("button.word[tabindex='0']").count() == 1
    words.first.focus()
    drawn.keyboard.press("ArrowRight")
    drawn.keyboard.press("Enter")
    assert words.nth(1).get_attribute("aria-pressed") == "true" and words.nth(1).get_attribute("tabindex") == "0"
    drawn.keyboard.press("End")
    assert words.last.evaluate("one => one === document.activeElement")
    drawn.keyboard.press("Tab")
    assert not words.last.evaluate("one => one.closest('.words').contains(document.activeElement)")
    assert faint_texts(drawn) == []


# For each picture with maps: what its canvas shows for the first word against the numbers that the page was sent.
MAPS = """() => [...document.querySelectorAll('#words-board .reader')].map((reader) => {
  const bytes = Uint8Array.from(atob(reader.dataset.maps), (c) => c.charCodeAt(0));
  const count = reader.dataset.rows * reader.dataset.columns;
  const values = [...new Int16Array(bytes.buffer).slice(0, count)], canvas = reader.querySelector('canvas');
  const pixels = [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
  const [up, down] = ['--map-up', '--map-down'].map((name) => getComputedStyle(reader).getPropertyValue(name));
  return [values, Array.from(values, (_, i) => pixels.slice(4 * i, 4 * i + 4)), up, down];
})"""
DARKENED = """() => {
  const arm = document.querySelector('#board .arm'), word = arm.querySelector('button.word.chosen');
  const canvas = arm.querySelector('canvas'), context = canvas.getContext('2d');
  const places = [...Uint8Array.from(atob(word.dataset.map), (c) => c.charCodeAt(0))];
  const pixels = [...context.getImageData(0, 0, canvas.width, canvas.height).data];
  return [places, places.map((_, i) => pixels[4 * i + 3])];
}"""


def test_maps_are_blue_where_a_word_fits_and_orange_where_it_does_not(drawn):
    open_tab(drawn, "Which words count")
    drawn.wait_for_selector("#words-board .reader.right[data-maps]")
    drawn.locator("#words-board .reader.right .word").nth(1).click()
    drawn.locator("#words-board .reader.right .word").first.click()
    found = drawn.evaluate(MAPS)
    assert len(found) == 2
    for values, pixels, up, down in found:
        assert min(values) < 0 < max(values)
        blue, orange = ([int(part) for part in colour.split(",")] for colour in (up, down))
        assert blue[2] > blue[0] and orange[0] > orange[2]
        most = max(map(abs, values))
        for value, (*colour, alpha) in zip(values, pixels, strict=True):
            assert abs(alpha - 235 * abs(value) / most) <= 1
            if alpha > 200:  # a thin colour is rounded
                assert all(abs(a - b) <= 2 for a, b in zip(colour, blue if value > 0 else orange, strict=True))


def test_a_drawn_word_leaves_light_what_it_drew(drawn):
    open_tab(drawn, "Text to image")
    drawn.locator("#board .arm").first.locator("button.word").nth(4).click()
    places, darkness = drawn.evaluate(DARKENED)
    assert max(places) == 255 and min(places) < 128
    assert all(abs(dark - 0.85 * (255 - place)) <= 1 for place, dark in zip(places, darkness, strict=True))
