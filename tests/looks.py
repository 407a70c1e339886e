"""What a page looks like, as a browser computes it: the contrast of its text, and what lies outside of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Contrast as WCAG 2.2 defines it: of each visible text with the colours behind it, from the page's own up to its parent's.
_CONTRAST = """least => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = probe.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const unread = 'script, style, option, .spoken, #js-plotly-tester, :disabled, .hoverlayer, #slider .icon';
  const under = (nodes) => nodes.reduce((below, one) => over(parse(getComputedStyle(one).backgroundColor), below), white);
  const ratioOf = (ink, behind) => {
    const [first, second] = [light(over(ink, behind)), light(behind)];
    return (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
  };
  const chain = (node) => node ? [...chain(node.parentElement), node] : [];
  const found = new Map(), white = [255, 255, 255, 1];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest(unread)) continue;
    if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const box = parent.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const style = getComputedStyle(parent), ink = parse(parent.closest('svg') ? style.fill : style.color);
    ink[3] *= chain(parent).reduce((seen, one) => seen * Number(getComputedStyle(one).opacity), 1);
    const ratio = ratioOf(ink, under(chain(parent)));
    if (ratio >= least) continue;
    const name = `${parent.tagName.toLowerCase()}.${[...parent.classList].join('.')} in ${parent.parentElement.className}`;
    found.set(name, `${ratio.toFixed(2)} ${name}: ${node.data.trim().slice(0, 40)}`);
  }
  for (const one of document.querySelectorAll('input, textarea')) {
    if (!one.placeholder || !one.checkVisibility()) continue;
    const ink = parse(getComputedStyle(one, '::placeholder').color);
    const ratio = ratioOf(ink, under(chain(one)));
    if (ratio < least) found.set(one.placeholder, `${ratio.toFixed(2)} placeholder: ${one.placeholder}`);
  }
  return [...found.values()];
}"""

# Strips of cards and wide tables may be scrolled sideways, and nothing else: half of a switch looks like the whole of one.
_OUTSIDE = """() => {
  const width = document.documentElement.clientWidth;
  const outside = (box) => box.width > 1 && box.height > 1 && (box.right > width + 1 || box.left < -1);
  const unseen = '.spoken, #js-plotly-tester, svg svg, svg g';
  const scrolls = (one) => one.closest('.cards, .behind');
  return [...document.querySelectorAll('body *')]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(unseen))
    .filter((one) => outside(one.getBoundingClientRect()) && !scrolls(one))
    .map((one) => `${one.tagName}#${one.id}.${one.className.baseVal ?? one.className}: ${one.textContent.slice(0, 40)}`);
}"""


def faint_texts(page: Page, least: float = 4.5) -> list[str]:
    """The visible texts whose contrast with what is behind them is below `least`, each kind once."""
    return page.evaluate(_CONTRAST, least)


def parts_outside(page: Page) -> list[str]:
    """The elements that stick out of the window on the left or right and are not meant to be scrolled to."""
    return page.evaluate(_OUTSIDE)
