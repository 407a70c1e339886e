"""Models by any name a visitor may type: from the hub (here a folder in its place), or of this machine."""

from __future__ import annotations

import pytest
from forms import PAIR, form, found

from demos.context import KEEP_MODELS, Context, Unavailable
from demos.evaluation.measurements import Measurements, Order
from demos.pieces import model_terms
from demos.retrieval.choices import Choices
from demos.retrieval.searches import Searches
from demos.work import Progress
from longclip import hub

TYPED, COMMIT = "hf-hub:owner/tiny", "0123456789abcdef0123456789abcdef01234567"


class Visit:
    def __init__(self, **query: str) -> None:
        self.query_params = query


@pytest.fixture
def public() -> Context:
    return Context(public=True)


@pytest.fixture
def fetched(monkeypatch, tiny_model_folder) -> list[str]:
    """The locations that were fetched, from a hub on which every repository holds the same tiny model."""
    asked: list[str] = []

    def fetch(spec, progress=None) -> hub.Fetched:
        asked.append(spec.location)
        if progress:
            progress(1, 4, "open_clip_model.safetensors")
        return hub.Fetched(tiny_model_folder(248), COMMIT)

    monkeypatch.setattr(hub, "fetch", fetch)
    return asked


def test_a_model_of_the_hub_is_searched_with(fetched, book):
    searches = Searches(Context())
    shown = found(searches, *form(book.captions[2], models=(f" {TYPED}@v1 ", PAIR[1])))
    assert fetched == ["hf-hub:owner/tiny@v1"]
    assert "Right picture at rank" in shown["left"] and " tokens</b>" in shown["left_text"]
    assert "left=hf-hub%3Aowner%2Ftiny%40v1" in shown["answer"]
    figure = searches.draw_curve(shown["selection"])[1]["value"]
    assert [line.name for line in figure.data] == [f"{TYPED}@v1", "Picture book Long-CLIP"]


def test_its_terms_are_told_before_it_is_fetched(fetched, choices):
    terms = model_terms(choices.context, f"{TYPED}@v1")
    assert "fetched on first use from <code>hf-hub:owner/tiny@v1</code>" in terms and "licence: <b>see its page</b>" in terms
    assert model_terms(choices.context, "no such model") == model_terms(choices.context, None) == ""
    assert fetched == []


def test_its_progress_is_shown(monkeypatch, book):
    searches = Searches(Context())
    monkeypatch.setattr(searches.context, "loading", lambda name: iter([Progress(1, 4)] if name == TYPED else []))
    busy = next(searches.search(*form(book.captions[2], models=(TYPED, PAIR[1]))))
    assert f"Fetching {TYPED}" in busy[5] and "25 %" in busy[5]


def test_a_hub_that_refuses_leaves_the_other_model(monkeypatch, searches, book):
    def refuse(spec, progress=None) -> hub.Fetched:
        raise hub.HubError(f"{spec.repository} is gated: accept its terms on its page and log in with `hf auth login`.")

    monkeypatch.setattr(hub, "fetch", refuse)
    shown = found(searches, *form(book.captions[2], models=("hf-hub:owner/gated", PAIR[1])))
    assert "owner/gated is gated" in shown["left"] and "Right picture" in shown["right"]


def test_a_folder_of_this_machine(tiny_model_folder, book):
    context, folder = Context(), tiny_model_folder(77)
    shown = found(Searches(context), *form(book.captions[2], models=(str(folder), PAIR[1])))
    assert "Right picture at rank" in shown["left"] and "left=" not in shown["answer"]
    assert f"read from <code>{folder}</code>" in model_terms(context, str(folder))


def test_a_file_that_is_no_model_gets_a_sentence(searches, book, tmp_path):
    (tmp_path / "words.pt").write_text("no weights at all")
    shown = found(searches, *form(book.captions[2], models=(str(tmp_path / "words.pt"), PAIR[1])))
    assert "words.pt is no checkpoint" in shown["left"] and "Right picture" in shown["right"]


@pytest.mark.parametrize("name", [TYPED, "hf-hub:openai/clip-vit-base-patch32", "/etc/passwd", ".", "~", "\\\\host\\share"])
def test_a_public_page_opens_no_other_model(monkeypatch, public, fetched, name):
    def touch(path: object) -> bool:
        raise AssertionError(f"looked at {path}")

    monkeypatch.setattr("longclip.registry.os.path.exists", touch)
    assert public.spec(name) is None and list(public.loading(name)) == [] and public.tokenizer(name) is None
    with pytest.raises(Unavailable, match="is not among the models of this page.$"):
        public.encoder(name)
    assert model_terms(public, name) == "" and fetched == []
    assert public.spec("openai/ViT-B-32") is not None


def test_a_link_may_name_a_model_of_the_hub(public, choices, fetched):
    visit = Visit(left=TYPED, right="hf-hub:../..")
    opened = choices.open_link(visit)
    assert opened[0].models == PAIR and opened[5:7] == list(PAIR) and f"The link names {TYPED}" in opened[7]
    assert Choices(public).open_link(visit)[0].models == PAIR
    assert fetched == []
    choices.context.encoder(TYPED)
    assert choices.open_link(visit)[0].models == (TYPED, PAIR[1])
    assert Choices(public).open_link(visit)[0].models == PAIR


def test_a_link_opens_no_file(choices, tmp_path):
    assert choices.open_link(Visit(left=str(tmp_path)))[0].models == PAIR


def test_names_that_are_nothing_leave_nothing_behind(context: Context):
    before = context.runner.names()
    list(context.loading("no such model"))
    with pytest.raises(Unavailable, match="Others are named hf-hub:owner/name"):
        context.encoder("no such model")
    assert context.runner.names() == before


def test_models_of_the_hub_are_dropped_again_whoever_asked_for_them(fetched):
    context = Context()
    names = [f"{TYPED}@v{number}" for number in range(KEEP_MODELS + 3)]
    for name in names:
        context.encoder(name)
    kept = [name for name in names if context.ready(name)]
    # The one that is asked for is loaded beside those that are kept.
    assert kept == names[-KEEP_MODELS - 1 :]


@pytest.mark.parametrize(("environment", "arguments", "public"), [({}, [], False), ({"SPACE_ID": "owner/space"}, [], True)])
def test_a_space_is_public_and_has_its_limits(monkeypatch, environment, arguments, public):
    import app

    monkeypatch.delenv("SPACE_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    served: list[Context] = []
    monkeypatch.setattr(app, "serve", lambda context, host, port: served.append(context))
    monkeypatch.setattr(app, "check_address", lambda host, port: None)
    monkeypatch.setattr(app, "end_on_signals", lambda: None)
    monkeypatch.setattr(app, "leave", lambda: None)
    app.main(arguments)
    (context,) = served
    assert context.public == public and context.fine_tune != public
    assert (context.spec(TYPED) is None) == public


def test_strangers_measure_attribution_on_few_pictures(public):
    measurements = Measurements(public)
    refused = [*measurements.measure(None, *PAIR, "picturebook", "", 100, ["retrieval", "attribution"])]
    assert len(refused) == 1 and "on 30 pictures" in refused[0][0]
    assert isinstance(measurements._order(*PAIR, "picturebook", "", 30, ["attribution"]), Order)
    assert isinstance(Measurements(Context())._order(*PAIR, "picturebook", "", 100, ["attribution"]), Order)
