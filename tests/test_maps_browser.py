"""The maps in headless Chromium: hover, click, lasso, a caption placed, a link, and no request to another machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from serving import NO_BROWSER, find_browser

from longclip.gallery import Gallery
from longclip.registry import assets

if find_browser() is None and os.environ.get("LONGCLIP_REQUIRE_CHROMIUM") != "1":
    pytest.skip(NO_BROWSER, allow_module_level=True)

pytestmark = pytest.mark.slow
# Where a point of the first map is in the window.
PLACE = """(point) => {
  const plot = document.querySelector('#linked-maps .map.left .plot'), { xaxis, yaxis } = plot._fullLayout;
  const box = plot.getBoundingClientRect(), { x, y } = plot.data[0];
  return [box.x + xaxis._offset + xaxis.l2p(x[point]), box.y + yaxis._offset + yaxis.l2p(y[point])];
}"""
SHOW = "document.querySelector('#linked-maps').scrollIntoView({ block: 'start' })"
SAYS = "text => document.querySelector('#maps-point')?.innerText.includes(text)"
# A point of the first map that lies alone enough for the mouse to hit it.
LONELY = """() => {
  const { x, y } = document.querySelector('#linked-maps .map.left .plot').data[0];
  const all = document.querySelectorAll('#linked-maps .map.left .plot')[0].data;
  const span = Math.max(...x) - Math.min(...x);
  let best = 0, gap = -1;
  for (let i = 0; i < x.length; i += 7) {
    let near = Infinity;
    for (const other of all) for (let j = 0; j < other.x.length; j++) {
      if (other === all[0] && i === j) continue;
      near = Math.min(near, Math.hypot(x[i] - other.x[j], y[i] - other.y[j]));
    }
    if (near > gap) { gap = near; best = i; }
  }
  return best;
}"""


@pytest.fixture
def open_maps(visit):
    """A function (query, width) -> page whose maps by PCA are drawn."""

    def open_one(query: str = "", width: int = 1360):
        page = visit(f"?tab=maps&method=pca{query}", width, 1000)
        page.wait_for_selector("#linked-maps .map.right canvas")
        page.wait_for_selector("#maps-figures table")
        page.wait_for_function("document.querySelector('#linked-maps select').options.length > 3")
        return page

    return open_one


@pytest.fixture(scope="module")
def book() -> Gallery:
    return Gallery.from_folder(assets() / "gallery")


def test_a_point_is_hovered_and_clicked(open_maps, book):
    page = open_maps()
    page.evaluate(SHOW)
    point = page.evaluate(LONELY)
    x, y = page.evaluate(PLACE, point)
    page.mouse.move(x - 40, y - 40)
    page.mouse.move(x, y, steps=3)
    page.wait_for_selector("#linked-maps .hovering:not([hidden]) img")
    assert book.captions[point][:60] in page.inner_text("#linked-maps .hovering")
    assert page.locator("#linked-maps svg .hover").count() == 2, "on both maps"
    page.mouse.click(x, y)
    page.wait_for_function(
        "text => document.querySelector('#maps-point')?.innerText.includes(text)", arg=book.captions[point][:60]
    )
    page.wait_for_url(f"**point=picture%3A{book.ids[point]}*")
    assert page.locator("#maps-left-nearest .card").count() == page.locator("#maps-right-nearest .card").count() == 12
    assert page.locator("#linked-maps .map.right svg .near").count() == 12
    card = page.locator("#maps-right-nearest .card").nth(1)
    other = int(card.get_attribute("data-point"))
    card.click()
    page.wait_for_url(f"**point=picture%3A{book.ids[other]}*")


def test_a_lasso_gathers_a_gallery(open_maps):
    page = open_maps()
    page.evaluate(SHOW)
    page.locator(".map.left .modebar-btn[data-title*='Lasso']").click()
    box = page.locator(".map.left .plot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 90, y - 90)
    page.mouse.down()
    for dx, dy in ((90, -90), (90, 90), (-90, 90), (-90, -90)):
        page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()
    page.wait_for_selector("#gathered .card")
    total = int(page.inner_text("#gathered h3").split(" picture")[0])
    page.click("#map-gathered")
    page.wait_for_function("() => document.querySelector('#linked-maps .plot').data[0].x.length < 1240")
    assert page.evaluate("document.querySelector('#linked-maps .plot').data[0].x.length") >= total
    page.click("#search-gathered")
    page.wait_for_url("**tab=retrieval*")


def test_a_caption_is_placed_and_its_link_places_it_again(open_maps, book):
    caption = max(book.captions, key=len)
    page = open_maps()
    page.fill("#maps-caption textarea", caption)
    page.click("#place")
    page.wait_for_selector("#linked-maps .map.right svg .cut", state="attached")
    labels = page.locator("#linked-maps .map.left svg text").all_text_contents()
    assert labels[0].startswith("whole = first 77 tokens"), "CLIP sees no difference"
    page.wait_for_url("**place=*")
    again = open_maps("&" + page.url.split("?")[1].split("&", 1)[1])
    again.wait_for_selector("#linked-maps .map.right svg .cut", state="attached")
    assert again.input_value("#maps-caption textarea") == caption


@pytest.mark.parametrize("width", [1360, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_maps_fit_their_window(open_maps, width, theme):
    page = open_maps(f"&__theme={theme}", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator(f".map.{side}").bounding_box() for side in ("left", "right"))
    assert (right["y"] > left["y"]) == (width == 390) and left["width"] > 300


def test_colours_are_chosen_and_one_class_is_seen_alone(open_maps):
    page = open_maps("&colour=setting")
    assert page.input_value("#linked-maps select") == "setting"
    page.locator("#linked-maps .legend button", has_text="beach").click()
    page.wait_for_function("document.querySelector('#linked-maps .plot').data[0].selectedpoints?.length === 102")
    page.select_option("#linked-maps select", "change of neighbourhood")
    page.wait_for_url("**colour=change*")
    assert "all others" in page.inner_text("#linked-maps .legend")


def test_a_picture_chosen_elsewhere_is_marked(open_maps, book):
    page = open_maps(f"&picture={book.ids[12]}")
    page.wait_for_function(
        "text => document.querySelector('#maps-point')?.innerText.includes(text)", arg=book.captions[12][:60]
    )


def test_maps_are_saved_as_parquet(open_maps, book):
    import pyarrow.parquet

    page = open_maps()
    with page.expect_download() as download:
        page.click("#maps-parquet")
    assert pyarrow.parquet.read_table(Path(download.value.path())).num_rows == 2 * len(book)


def test_fifty_thousand_points_are_drawn_and_hit(open_maps):
    """Of the component alone: the points come as the server sends them, and the mouse finds one."""
    page = open_maps()
    page.evaluate(
        """async () => {
          const plot = document.querySelector('#linked-maps .plot'), Plotly = await window.longclipPlotly, count = 25000;
          const spread = () => Float32Array.from({ length: count }, (_, i) => ((i * 7919) % count) / count);
          for (const trace of [0, 1]) {
            await Plotly.restyle(plot, { x: [spread()], y: [Float32Array.from({ length: count }, (_, i) => i / count)],
              'marker.color': '#4c78a8' }, [trace]);
          }
          await Plotly.relayout(plot, { 'xaxis.range': [-0.1, 1.1], 'yaxis.range': [-0.1, 1.1] });
          window.hit = null;
          plot.on('plotly_hover', (event) => { window.hit = event.points[0].pointNumber; });
        }"""
    )
    page.evaluate(SHOW)
    x, y = page.evaluate(PLACE, 12345)
    page.mouse.move(x - 20, y)
    page.mouse.move(x, y, steps=3)
    page.wait_for_function("window.hit !== null")
