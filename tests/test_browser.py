"""The page in headless Chromium: what a visitor does, with every request and every error of the browser recorded."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from serving import NO_BROWSER, find_browser

import longclip
from longclip.gallery import Gallery
from longclip.registry import assets
from longclip.retrieval import retrieval_ranks

if find_browser() is None and os.environ.get("LONGCLIP_REQUIRE_CHROMIUM") != "1":
    pytest.skip(NO_BROWSER, allow_module_level=True)

pytestmark = pytest.mark.slow
SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>${window.hacked=1}{{window.hacked=1}}'


@pytest.fixture
def open_page(visit):
    """A function (query, width) -> page with its first results."""

    def open_one(query: str = "", width: int = 1440):
        page = visit(query, width)
        page.wait_for_selector("#left-ranking .card")
        page.wait_for_selector("#right-ranking .card")
        page.wait_for_selector("#curve .scatterlayer")
        return page

    return open_one


@pytest.fixture(scope="module")
def book() -> Gallery:
    return Gallery.from_folder(assets() / "gallery")


@pytest.fixture(scope="module")
def scene(book) -> int:
    """A scene whose long caption Long-CLIP answers first, and whose caption CLIP cannot read to the end."""
    encoder = longclip.load("picturebook-longclip")
    ranks = retrieval_ranks(encoder.encode_text(book.captions), book.embed(encoder))
    fitting = [row for row, caption in enumerate(book.captions) if ranks[row] == 0 and encoder.tokenize(caption).total > 100]
    assert fitting
    return fitting[-1]


def test_a_long_caption_finds_its_picture_first(open_page, book, scene):
    page = open_page()
    page.fill("#caption textarea", book.captions[scene])
    page.click("#search")
    first = page.locator("#right-ranking .card").first
    page.wait_for_selector(f'#right-ranking .card.right[data-pick="{book.ids[scene]}"]')
    assert first.get_attribute("data-pick") == book.ids[scene]
    assert "Right picture at rank 1" in page.inner_text("#right-ranking .verdict")
    assert re.search(r"77 of \d{3} tokens", page.inner_text("#left"))
    assert page.inner_text("#left .reading s").strip().endswith(book.captions[scene][-40:].strip())
    page.wait_for_selector("#curve .js-plotly-plot .scatterlayer")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_its_window(open_page, width, theme):
    page = open_page(f"?__theme={theme}", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = page.locator("#left").bounding_box(), page.locator("#right").bounding_box()
    assert (right["y"] > left["y"]) == (width == 390)
    assert page.locator(".card img").first.evaluate("image => image.alt.length") > 10


def test_hostile_text_stays_text(open_page):
    page = open_page()
    page.fill("#caption textarea", SCRIPT)
    page.click("#search")
    page.wait_for_selector("#left-ranking .verdict.unknown")
    assert SCRIPT in page.inner_text("#left .reading .text")
    assert page.evaluate("window.hacked") is None


def test_the_counters_follow_the_typing(open_page):
    page = open_page()
    page.click("#caption textarea")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("A zeppelin on the beach.")
    page.wait_for_selector("#left .reading u.new")
    assert page.inner_text("#left .reading u.new").lower() == "zeppelin"
    assert "all of it is read" in page.inner_text("#left .count")


def test_a_card_is_picked_with_the_keyboard(open_page, book):
    page = open_page()
    card = page.locator("#left-ranking .card").nth(2)
    row = book.index(card.get_attribute("data-pick"))
    card.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("text => document.querySelector('#caption textarea').value === text", arg=book.captions[row])
    page.wait_for_selector(f'#left-ranking .card.right[data-pick="{book.ids[row]}"]')
    assert f"picture={book.ids[row]}" in page.url


def test_captions_are_ranked_by_a_picture(open_page, book):
    page = open_page()
    page.click("text=Picture → captions")
    page.wait_for_selector("#right-ranking .captions .card.right")
    assert "Right caption at rank" in page.inner_text("#right-ranking .verdict")
    assert page.locator("#right-ranking .captions .card").count() >= 12


def test_a_link_opens_what_it_names(open_page, book, scene):
    page = open_page(f"?tab=retrieval&left=picturebook-longclip&right=picturebook-clip&picture={book.ids[scene]}")
    assert page.input_value("#caption textarea") == book.captions[scene]
    assert "Picture book Long-CLIP" in page.input_value("#left-model input")


def test_an_address_opens_its_tab_and_follows_the_tabs(visit):
    page = visit("?tab=evaluate")
    page.wait_for_selector("text=Measure it yourself")
    page.wait_for_url("**tab=evaluate*picture=*")
    page.get_by_role("tab", name="Long-text retrieval").click()
    page.wait_for_url("**tab=retrieval*")


def test_a_model_that_cannot_be_fetched_leaves_the_other_side_working(open_page):
    page = open_page()
    page.click("#left-model input")
    page.click("text=CLIP ViT-B/32 · 77 tokens · needs download")
    page.wait_for_selector("#left-ranking .notice")
    assert "HF_HUB_OFFLINE" in page.inner_text("#left-ranking .notice")
    assert "Apache-2.0" in page.inner_text("#left .terms")
    page.wait_for_selector("#right-ranking .card.right")


def test_a_model_of_the_hub_is_typed(open_page):
    page = open_page()
    page.fill("#right-model input", "hf-hub:owner/name@v1")
    page.press("#right-model input", "Enter")
    page.wait_for_selector("#right-ranking .notice")
    assert "owner/name (revision v1) is not in the cache" in page.inner_text("#right-ranking .notice")
    assert "see its page" in page.inner_text("#right .terms") and "right=hf-hub%3Aowner%2Fname%40v1" in page.url
    assert page.input_value("#right-model input") == "hf-hub:owner/name@v1"
    page.click("#left-model input")
    page.click("#caption textarea")
    page.wait_for_timeout(500)
    assert "left=picturebook-clip&" in page.url and page.input_value("#left-model input").startswith("Picture book CLIP")
    page.wait_for_selector("#left-ranking .card.right")


def test_a_scene_takes_the_place_of_a_picture_of_ones_own(open_page, book, tmp_path):
    page = open_page()
    book.open(5).save(tmp_path / "mine.png")
    page.click("text=Picture → captions")
    page.set_input_files("#query-file input[type=file]", tmp_path / "mine.png")
    page.wait_for_selector("#query-file >> text=mine")
    page.wait_for_selector("#left-ranking .verdict.unknown")
    page.click("text=Surprise me")
    page.wait_for_selector("#left-ranking .card.right")
    assert "mine" not in page.inner_text("#query-file")
    assert page.locator("#answer img").get_attribute("src").startswith("gradio_api/file=")


def test_own_pictures_are_searched_and_marked(open_page, book, tmp_path):
    page = open_page()
    files = []
    for number in range(3):
        files.append(tmp_path / f"mine-{number}.png")
        book.open(number).save(files[-1])
    files.append(tmp_path / "not-a-picture.png")
    files[-1].write_text("words")
    page.click("text=My own pictures")
    page.wait_for_selector("text=Add some pictures of your own first")
    page.set_input_files("#own-files input[type=file]", files)
    page.wait_for_selector("text=3 pictures added")
    assert "not-a-picture.png is not a JPEG" in page.inner_text(".report")
    page.wait_for_function("document.querySelectorAll('#right-ranking .card').length === 3")
    page.click("#right-ranking .card >> nth=1")
    page.wait_for_selector("#left-ranking .card.right")
    assert page.locator("#right-ranking .card.right").count() == 1


def test_results_are_saved_as_csv(open_page, book):
    page = open_page()
    with page.expect_download() as download:
        page.click("#csv")
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert lines[0].startswith("id,rank picturebook-clip,cosine picturebook-clip,rank picturebook-longclip")
    assert len(lines) == len(book) + 1


def test_two_models_are_measured(open_page):
    page = open_page("?left=picturebook-longclip&right=picturebook-clip")
    page.get_by_role("tab", name="Evaluate").click()
    page.wait_for_selector("#measure")
    assert "Long-CLIP" in page.input_value("#evaluate-left-model input")
    page.locator("#evaluation-size label").first.click()
    for measure in ("Zero-shot", "Alignment"):
        page.locator(".measures label", has_text=measure).click()
    page.click("#measure")
    page.wait_for_selector("#evaluation-json")
    page.wait_for_function("!document.querySelector('#measuring .meter')")
    assert page.locator("#scoreboard section").count() == 3 and page.locator("#scoreboard td.down").count() >= 3
    with page.expect_download() as download:
        page.click("#evaluation-json")
    figures = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert figures["late families"]["picturebook-longclip"]["long text to image R@1"] > 0


def test_an_empty_caption_gets_a_sentence(open_page):
    page = open_page()
    page.fill("#caption textarea", "   ")
    page.click("#search")
    page.wait_for_selector("text=Write a caption first")
