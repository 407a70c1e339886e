"""The tab *Which words count* in headless Chromium: words clicked, maps seen to change, edits, plots and files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from serving import NO_BROWSER, find_browser

if find_browser() is None and os.environ.get("LONGCLIP_REQUIRE_CHROMIUM") != "1":
    pytest.skip(NO_BROWSER, allow_module_level=True)

pytestmark = pytest.mark.slow
SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>${window.hacked=1}{{window.hacked=1}}'
MAPPED = "#words-board .reader.right[data-maps]"
PIXELS = "canvas => canvas.hidden ? '' : canvas.toDataURL()"


@pytest.fixture
def open_tab(visit):
    """A function (query, width) -> page with the tab open and its maps there."""

    def open_one(query: str = "", width: int = 1360):
        page = visit(f"?tab=attribute{query}", width)
        page.wait_for_selector(MAPPED)
        page.wait_for_selector("#reading-plot .scatterlayer")
        return page

    return open_one


def word(page, number: int, side: str = "right"):
    return page.locator(f"#words-board .reader.{side} .word").nth(number)


def pixels(page, side: str = "right") -> str:
    return page.locator(f"#words-board .reader.{side} canvas").evaluate(PIXELS)


def test_a_word_shows_its_pixels_and_a_place_its_words(open_tab):
    page = open_tab()
    assert pixels(page) == "" and page.locator("#words-board .reader.left s").count() == 1
    word(page, 1).click()
    first = pixels(page)
    assert first and word(page, 1).get_attribute("aria-pressed") == "true" and pixels(page, "left")
    assert "bicycle" in page.inner_text("#words-board .reader.right .said")
    word(page, 4).click()
    assert pixels(page) not in ("", first)
    # A word that the left model does not read.
    page.locator("#words-board .reader.right .word").last.click()
    assert pixels(page, "left") == "" and "does not read" in page.inner_text("#words-board .reader.left .said")
    page.locator("#words-board .reader.right .shot").click(position={"x": 30, "y": 100})
    assert pixels(page) == "" and 1 <= page.locator("#words-board .reader.right .linked").count() <= 5
    assert page.locator("#words-board .reader.right .cell").is_visible()


def test_words_and_places_are_reached_with_the_keyboard(open_tab):
    page = open_tab()
    word(page, 0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert word(page, 1).get_attribute("aria-pressed") == "true"
    page.keyboard.press(" ")
    assert word(page, 1).get_attribute("aria-pressed") == "false"
    page.locator("#words-board .reader.right .shot").focus()
    page.keyboard.press("ArrowDown")
    before = page.locator("#words-board .reader.right .cell").get_attribute("style")
    page.keyboard.press("ArrowDown")
    assert page.locator("#words-board .reader.right .cell").get_attribute("style") != before


def test_another_level_keeps_what_was_chosen_and_another_method_is_told(open_tab):
    page = open_tab()
    word(page, 1).click()
    page.locator("#explained-level label", has_text="Sentences").click()
    page.wait_for_selector("#words-board .text.sentences")
    page.wait_for_selector(MAPPED)
    assert word(page, 0).get_attribute("aria-pressed") == "true"
    page.click("#method input")
    page.get_by_role("option", name="What the encoder attends to").click()
    page.wait_for_selector("#words-board .ramp.one-sided")
    assert "explains no match" in page.inner_text("#words-board")


def test_an_edit_is_compared(open_tab):
    page = open_tab()
    caption = page.input_value("#edited-caption textarea")
    assert caption == page.input_value("#explained-caption textarea") != ""
    before, last = caption.rstrip(".").rsplit(" ", 1)
    page.fill("#edited-caption textarea", f"{before} cats.")
    page.click("#compare")
    page.wait_for_selector("#comparison-of-captions .reader.right .edited")
    assert "nothing changes" in page.inner_text("#comparison-of-captions .reader.left")
    assert f"“{last}” → “cats”" in page.inner_text("#comparison-of-captions .reader.right")


def test_everything_is_saved(open_tab, tmp_path):
    page = open_tab()
    word(page, 1).click()
    files = {}
    for button in ("words-png", "words-csv", "words-json", "reading-png", "reading-csv"):
        with page.expect_download() as download:
            page.click(f"#{button}")
        files[button] = Path(download.value.path())
    for name in ("words-png", "reading-png"):
        with Image.open(files[name]) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300 and len(picture.convert("RGB").getcolors(10**7)) > 100
    assert len(json.loads(files["words-json"].read_text("utf-8"))["models"]) == 2
    assert files["words-csv"].read_text("utf-8").startswith("start,end,text,value picturebook-clip")
    assert "Picture book CLIP" in files["reading-csv"].read_text("utf-8").splitlines()[0]


def test_the_curves_change_with_what_is_asked(open_tab):
    page = open_tab()
    page.locator("#reading-what label", has_text="Rank").click()
    page.wait_for_function("document.querySelector('#reading-plot').textContent.includes('rank among')")
    assert "token 77" in page.text_content("#reading-plot") and "token 20" in page.text_content("#reading-plot")
    page.locator("#reading-what label", has_text="By position").click()
    page.wait_for_function("document.querySelector('#reading-plot').textContent.includes('change of the cosine')")
    page.wait_for_selector("#reading-by", state="hidden")
    page.locator("#reading-on summary").click()
    assert page.locator("#reading-on table.figures tbody tr").count() > 77


def test_a_scene_of_the_retrieval_tab_comes_along(open_tab):
    page = open_tab()
    page.get_by_role("tab", name="Long-text retrieval").click()
    page.wait_for_selector("#right-ranking .card")
    page.locator("#right-ranking .card").nth(5).click()
    page.wait_for_function("!document.querySelector('#caption textarea').value.startsWith('A bicycle')")
    page.wait_for_selector("#right-ranking .card.right")
    caption = page.input_value("#caption textarea")
    page.get_by_role("tab", name="Which words count").click()
    page.wait_for_function("text => document.querySelector('#explained-caption textarea').value === text", arg=caption)
    page.wait_for_function("text => document.querySelector('#words-board .text')?.textContent === text", arg=caption)


def test_a_link_opens_its_scene(open_tab):
    page = open_tab("&picture=000005.webp&left=picturebook-longclip&right=picturebook-clip")
    assert "Long-CLIP" in page.inner_text("#words-board .reader.left h3")


def test_bad_input_is_told_and_the_next_works(open_tab):
    page = open_tab()
    page.fill("#explained-caption textarea", "  ")
    page.click("#explain")
    page.wait_for_selector("#explaining-status .notice")
    page.fill("#explained-caption textarea", SCRIPT)
    page.click("#explain")
    page.wait_for_function("document.querySelector('#words-board .text').textContent.includes('onerror')")
    page.wait_for_selector(MAPPED)
    assert SCRIPT in page.inner_text("#words-board .reader.right .text") and page.evaluate("window.hacked") is None
    assert page.locator("#explaining-status .notice").count() == 0


def test_work_is_stopped_and_goes_on(open_tab):
    page = open_tab()
    page.get_by_text("Models and numbers").click()
    page.locator("#explaining input[type=number]").fill("5000")
    page.click("#method input")
    page.get_by_role("option", name="Shapley values").click()
    page.wait_for_selector("#explaining-status .meter")
    page.click("#stop-explaining")
    page.wait_for_selector("#explaining-status .notice")
    page.click("#method input")
    page.get_by_role("option", name="Gradient × input").click()
    page.wait_for_function("document.querySelector('#words-board').textContent.includes('a quick look')")


@pytest.mark.parametrize("width", [1360, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_fits_its_window(open_tab, width, theme):
    page = open_tab(f"&__theme={theme}", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator(f"#words-board .reader.{side}").bounding_box() for side in ("left", "right"))
    assert (right["y"] > left["y"]) == (width == 390)
