"""The tab *Text to image* in headless Chromium: arms drawn, judged and compared, words clicked, the form restored."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from serving import NO_BROWSER, find_browser

from longclip.generation.pictures import read_png

if find_browser() is None and os.environ.get("LONGCLIP_REQUIRE_CHROMIUM") != "1":
    pytest.skip(NO_BROWSER, allow_module_level=True)

pytestmark = pytest.mark.slow
SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>${window.hacked=1}{{window.hacked=1}}'
JUDGED = "#board .arm[data-arm={}] .judged"


@pytest.fixture
def open_tab(visit):
    """A function (query, width) -> page with the tab open."""

    def open_one(query: str = "", width: int = 1360):
        page = visit(f"?tab=draw{query}", width)
        page.wait_for_selector("#prompt textarea")
        return page

    return open_one


def draw(page, *arms: str) -> None:
    """Ticks these arms alone, draws and waits until the last of them is judged."""
    for box in page.locator("#arms input").all():
        box.set_checked(box.get_attribute("name") in arms or box.get_attribute("value") in arms)
    page.click("#draw")
    for arm in arms:
        page.wait_for_selector(JUDGED.format(arm))


def source(page, arm: str) -> str:
    return page.locator(f"#board .arm[data-arm={arm}] .shot img").get_attribute("src")


def test_two_arms_are_drawn_judged_and_compared(open_tab):
    page = open_tab()
    draw(page, "cut", "long")
    assert source(page, "cut") != source(page, "long") and page.locator("#board .arm").count() == 2
    # What the cut arm never saw is struck through; the other has read all of it.
    struck = page.locator("#board .arm[data-arm=cut] .words s")
    assert len(struck.inner_text().strip()) > 20 and page.input_value("#prompt textarea").endswith(struck.inner_text().strip())
    assert page.locator("#board .arm[data-arm=long] .words s").count() == 0
    assert "beyond token 77" in page.inner_text(JUDGED.format("long"))
    page.wait_for_function("[...document.querySelectorAll('#slider img')].filter(img => img.naturalWidth >= 512).length === 2")
    left, right = (page.locator("#slider img").nth(i).get_attribute("src") for i in (0, 1))
    assert left != right


def test_a_word_shows_where_it_drew_in_every_arm_that_reads_it(open_tab):
    page = open_tab()
    draw(page, "cut", "long")
    words = page.locator("#board .arm[data-arm=long] button.word")
    pixels = "canvas => canvas.hidden ? '' : canvas.toDataURL()"

    def maps() -> list[str]:
        return [page.locator(f"#board .arm[data-arm={arm}] canvas").evaluate(pixels) for arm in ("cut", "long")]

    assert maps() == ["", ""]
    words.nth(1).click()
    first = maps()
    assert all(first) and words.nth(1).get_attribute("aria-pressed") == "true"
    words.nth(4).click()
    assert maps()[1] not in ("", first[1])
    words.last.click()
    assert maps()[0] == "" != maps()[1], "the cut arm never read it"
    words.last.click()
    assert maps() == ["", ""]


def test_a_picture_is_saved_and_restores_the_form(open_tab, tmp_path):
    page = open_tab()
    page.fill("#prompt textarea", "A red kite above a barn.")
    draw(page, "long")
    with page.expect_download() as download:
        page.locator("#board .arm[data-arm=long] figcaption a").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    details = read_png(file.read_bytes())
    assert (details["prompt"], details["arms"], details["seed"]) == ("A red kite above a barn.", ["long"], 1)
    assert {"picturebook-diffusion", "picturebook-longclip"} == set(details["revisions"]) and all(details["revisions"].values())
    with Image.open(file) as picture:
        assert picture.size == (64, 64) and len(picture.getcolors(10**5)) > 50
    page.fill("#prompt textarea", "something else")
    page.locator("#more-of-drawing .label-wrap").click()
    page.locator("#restore input[type=file]").set_input_files(file)
    page.wait_for_function("document.querySelector('#prompt textarea').value === 'A red kite above a barn.'")
    assert "press Draw" in page.inner_text("#drawing-status")


def test_bad_input_is_told_and_the_next_works(open_tab):
    page = open_tab()
    for box in page.locator("#arms input").all():
        box.uncheck()
    page.click("#draw")
    page.wait_for_selector("#drawing-status .notice")
    assert "at least one way" in page.inner_text("#drawing-status")
    page.fill("#prompt textarea", SCRIPT)
    draw_unjudged(page, "long")
    assert SCRIPT in page.inner_text("#board .arm .words") and page.evaluate("window.hacked") is None
    page.fill("#prompt textarea", "")
    draw_unjudged(page, "cut")
    assert page.locator("#board .arm[data-arm=cut] .notice").count() == 0


def draw_unjudged(page, arm: str) -> None:
    """As `draw`, for prompts that name nothing to judge."""
    for box in page.locator("#arms input").all():
        box.set_checked(box.get_attribute("name") == arm or box.get_attribute("value") == arm)
    page.click("#draw")
    page.wait_for_selector(f"#board .arm[data-arm={arm}] figcaption a")


def test_a_drawing_is_stopped_and_the_next_begins(open_tab):
    page = open_tab()
    page.locator("#more-of-drawing .label-wrap").click()
    page.locator("#drawing-steps input[type=number]").fill("100")
    page.click("#draw")
    page.wait_for_selector("#board .arm .shot img")
    page.click("#stop-drawing")
    page.wait_for_selector("#drawing-status .notice")
    assert "Stopped" in page.inner_text("#drawing-status")
    page.locator("#drawing-steps input[type=number]").fill("2")
    draw(page, "long")


def test_a_hit_of_the_retrieval_tab_brings_its_caption_and_nothing_else_takes_a_prompt_away(open_tab):
    page = open_tab()
    example = page.input_value("#prompt textarea")
    page.fill("#prompt textarea", "A kite of mine.")
    page.get_by_role("tab", name="Long-text retrieval").click()
    page.wait_for_selector("#right-ranking .card")
    page.get_by_role("tab", name="Text to image").click()
    page.wait_for_timeout(1500)
    assert page.input_value("#prompt textarea") == "A kite of mine."
    page.get_by_role("tab", name="Long-text retrieval").click()
    page.locator("#right-ranking li [data-door=draw]").nth(1).click()
    page.wait_for_function("() => !document.querySelector('#prompt textarea').value.startsWith('A kite')")
    caption = page.input_value("#prompt textarea")
    assert len(caption) > 300 and caption not in (example, page.input_value("#caption textarea"))


@pytest.mark.parametrize("width", [1360, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_fits_its_window(open_tab, width, theme):
    page = open_tab(f"&__theme={theme}", width)
    draw(page, "cut", "long")
    page.wait_for_selector("#slider img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut, long = (page.locator(f"#board .arm[data-arm={arm}]").bounding_box() for arm in ("cut", "long"))
    assert (long["y"] > cut["y"]) == (width == 390)
