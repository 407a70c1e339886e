"""The tab *Text to image*: one prompt, the same noise, and up to four ways to read it."""

from __future__ import annotations

import gradio as gr

from demos.context import Context
from demos.doors import Doors
from demos.events import DRAW, UPLOAD, private
from demos.generation.drawings import Drawings
from demos.generation.order import ARMS, MOST_GUIDANCE, MOST_PICTURES, MOST_SKIPPED, Order, most_steps
from demos.generation.studio import DETECTOR, NOBODY
from demos.pickers import model_picker
from demos.pieces import model_label
from demos.selection import Selection
from longclip.generation.specs import EMBEDDED, SIGLIP

NAME, TITLE = "draw", "Text to image"

HEADING = (
    "<h2>One prompt, the same noise, and different readers</h2>"
    "<p>A diffusion pipeline was trained with a CLIP that reads 77 tokens. Put Long-CLIP in its place, change nothing else, "
    "and see what the rest of the prompt is worth.{small}</p>"
)
SMALL = " The pipeline that ships draws 64 × 64 pixels of the picture book; its words are the picture book's."
WORDS_HINT = (
    '<p class="hint">Click a word to see which part of the first picture of each arm it drew: the U-Net\'s cross-attention, '
    "averaged over steps, layers and heads. The rest goes dark. Click it again to let go. The arrow keys go from word to word."
    "</p>"
)
COMPARE = "<h2>One over the other</h2><p>Drag the line.</p>"
# A link saves the picture above it. A word shows where it drew in every arm that reads it: what it did not draw is darkened.
CLICKS = """
element.addEventListener('keydown', (event) => {
  const word = event.target.closest('button.word');
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (!word || !(step || event.key === 'Home' || event.key === 'End')) return;
  const words = [...word.closest('.words').querySelectorAll('button.word')];
  const next = event.key === 'Home' ? words[0] : event.key === 'End' ? words.at(-1) : words[words.indexOf(word) + step];
  event.preventDefault();
  if (!next) return;
  word.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
element.addEventListener('click', (event) => {
  const link = event.target.closest('a[download]');
  if (link) link.href = link.closest('.shot').querySelector('img').src;
  const word = event.target.closest('button.word');
  if (!word) return;
  const chosen = word.classList.contains('chosen') ? null : word.dataset.start;
  element.querySelectorAll('.arm').forEach((arm) => {
    const canvas = arm.querySelector('canvas');
    if (canvas) canvas.hidden = true;
    arm.querySelectorAll('button.word').forEach((other) => {
      const same = other.dataset.start === chosen;
      other.classList.toggle('chosen', same);
      other.setAttribute('aria-pressed', same);
      if (!same || !canvas) return;
      const places = Uint8Array.from(atob(other.dataset.map), (c) => c.charCodeAt(0));
      const side = Math.sqrt(places.length);
      canvas.width = canvas.height = side;
      const context = canvas.getContext('2d'), image = context.createImageData(side, side);
      places.forEach((value, i) => { image.data.set([8, 10, 18, Math.round(0.85 * (255 - value))], 4 * i); });
      context.putImageData(image, 0, 0);
      canvas.hidden = false;
    });
  });
});
"""


def build(context: Context, page: gr.Blocks, selection: gr.State) -> None:
    """Adds the tab's components to the block that is open, and its events to the page."""
    fresh, drawings = Order(), Drawings(context)
    models = [(model_label(spec), spec.name) for spec in context.models.values()]
    judges = [("The picture book's detector", DETECTOR), ("SigLIP 2 · needs download", SIGLIP), *models, ("Nobody", NOBODY)]
    sketches = gr.State((), time_to_live=3600)
    with gr.Column(elem_id="drawing", elem_classes="sheet"):
        gr.HTML(HEADING.format(small=SMALL))
        prompt = gr.Textbox(
            drawings.example(long=True),
            label="Prompt",
            show_label=False,
            placeholder="Describe a scene, in one sentence or in ten …",
            lines=4,
            max_lines=8,
            elem_id="prompt",
        )
        arms = gr.CheckboxGroup(
            [(title, arm) for arm, title in ARMS.items()],
            value=list(fresh.arms),
            label="Ways to read it",
            show_label=False,
            container=False,
            elem_classes="measures",
            elem_id="arms",
        )
        with gr.Row(elem_classes="chips"):
            go = gr.Button("Draw", variant="primary", elem_id="draw", elem_classes="go", size="sm")
            stop = gr.Button("Stop", elem_id="stop-drawing", elem_classes="quiet-button", size="sm", visible=False)
            short = gr.Button("A short prompt", size="sm", elem_classes="chip")
            long = gr.Button("A long prompt, its subject last", size="sm", elem_classes="chip")
            carried = gr.Button("The caption of the retrieval tab", size="sm", elem_classes="chip")
        with gr.Accordion("Pipeline, seeds and numbers", open=False, elem_id="more-of-drawing", elem_classes="more"):
            with gr.Row():
                pipeline = gr.Dropdown(
                    drawings.studio.names(),
                    value=EMBEDDED,
                    label="Pipeline",
                    info=drawings.studio.terms(EMBEDDED),
                    allow_custom_value=not context.public,
                )
                model = model_picker(context, fresh.model, "Encoder put in its place")
                judge = gr.Dropdown(
                    judges,
                    value=DETECTOR,
                    label="Judge",
                    info="For real pipelines, a model that did not draw",
                )
            with gr.Row():
                # No minimum: Gradio would answer with an error of its own where `Order.from_form` has a sentence.
                seed = gr.Number(fresh.seed, label="Seed", precision=0)
                count = gr.Slider(1, MOST_PICTURES, fresh.count, step=1, label="Pictures an arm, one a seed")
                steps = gr.Slider(
                    1,
                    most_steps(context.public),
                    fresh.steps,
                    step=1,
                    label="Steps",
                    elem_id="drawing-steps",
                )
                guidance = gr.Slider(1, MOST_GUIDANCE, fresh.guidance, step=0.5, label="Guidance")
            with gr.Row():
                negative = gr.Textbox(label="Negative prompt", placeholder="what should not be drawn")
                share = gr.Slider(0, 1, fresh.share, step=0.05, label="Long-CLIP's share of the mix")
                clip_skip = gr.Slider(0, MOST_SKIPPED, fresh.clip_skip, step=1, label="Clip skip")
            file = gr.File(label="A picture downloaded from here: restores this form", height=110, elem_id="restore")
        status = gr.HTML(elem_id="drawing-status")
        board = gr.HTML(elem_id="board", js_on_load=CLICKS)
        gr.HTML(WORDS_HINT, elem_id="words-hint")
    with gr.Column(elem_id="comparison", elem_classes="sheet", visible=False) as comparison:
        gr.HTML(COMPARE)
        with gr.Row():
            left = gr.Dropdown([], label="On the left", interactive=True, min_width=260)
            right = gr.Dropdown([], label="On the right", interactive=True, min_width=260)
        slider = gr.ImageSlider(
            label="Comparison", show_label=False, container=False, type="pil", interactive=False, elem_id="slider", buttons=[]
        )

    seen, begun = gr.State(Selection(), time_to_live=3600), gr.State(None, time_to_live=3600)
    form = [prompt, negative, pipeline, model, arms, share, seed, count, steps, guidance, clip_skip]
    shown = [status, board, sketches, stop, comparison]
    begin = [go.click, prompt.submit]
    queued = private(DRAW, show_progress="minimal", show_progress_on=status)  # who waits is told of the queue
    ready = gr.on(begin, drawings.prepare, [judge, *form], [*shown, begun], **queued)
    run = ready.then(drawings.draw, begun, shown, **queued)
    run.then(drawings.choices, sketches, [left, right, slider], **private())
    pipeline.input(drawings.suit, [pipeline, judge], [judge, model, steps, guidance, pipeline], **private())
    stop.click(drawings.stop, None, None, queue=False, **private())
    gr.on([left.input, right.input], drawings.compare, [sketches, left, right], slider, **private())
    short.click(lambda: drawings.example(long=False), None, prompt, **private())
    long.click(lambda: drawings.example(long=True), None, prompt, **private())
    Doors(context, status).tab().select(drawings.arrive, [selection, seen, prompt], [prompt, seen], **private())
    carried.click(drawings.carried, selection, prompt, **private())
    file.upload(drawings.restore, file, [*form, status], **private(UPLOAD))
