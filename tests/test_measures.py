"""Probe, caption length, alignment and the table of measures, against planted answers and double loops."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CORPUS

from longclip.evaluation import CHEAP, MEASURES, measure, skipped
from longclip.evaluation.alignment import GAMMAS, measure_alignment
from longclip.evaluation.data import EvaluationSet
from longclip.evaluation.features import Features
from longclip.evaluation.length import cut_sentences, cut_tokens, cut_words, effective_length, measure_length
from longclip.evaluation.probe import choose_strength, measure_probe
from longclip.sentences import split_sentences


class Hashed:
    """An encoder of any name or text to a random row that depends on it alone."""

    logit_scale = 20.0

    def encode_text(self, texts):
        rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encode_image = encode_text


class Clusters:
    """Pictures are (class, number): each class has its own direction, under noise of deviation 1."""

    def encode_image(self, pictures):
        rows = [np.eye(12)[c] * 2.5 + np.random.default_rng([c, n]).normal(size=12) for c, n in pictures]
        return np.array(rows, np.float32)


def clusters(first: int, count: int, **others) -> EvaluationSet:
    pictures = [(c, n) for n in range(first, first + count) for c in range(4)]
    return EvaluationSet("x", pictures, classes=[f"class {c}" for c, _ in pictures], **others)


@pytest.fixture(scope="module")
def tokenizer():
    from longclip.tokens import Tokenizer
    from longclip.vocabulary import reduce_vocabulary

    return Tokenizer(*reduce_vocabulary(CORPUS), 77)


def test_the_probe_learns_from_other_pictures_where_there_are_some():
    found = measure_probe(Features(Clusters(), clusters(0, 30, training=lambda: clusters(100, 60))))
    assert found["linear probe accuracy"] > 80 and found["linear probe training pictures"] == 240
    alone = measure_probe(Features(Clusters(), clusters(0, 50)))
    assert alone["linear probe training pictures"] == 160 and alone["linear probe accuracy"] > 70
    assert alone == measure_probe(Features(Clusters(), clusters(0, 50)))


def test_the_probe_finds_nothing_where_classes_are_random():
    pictures = [(0, n) for n in range(400)]
    data = EvaluationSet("x", pictures, classes=[str(n % 2) for n in range(400)])
    assert 30 < measure_probe(Features(Clusters(), data))["linear probe accuracy"] < 70


def test_noise_wants_a_strong_penalty():
    generator = np.random.default_rng(0)
    y = np.array(["a", "b"] * 60)
    x = generator.normal(size=(120, 60))
    x[:, 0] += np.where(y == "a", 1.0, -1.0)
    assert choose_strength(x, y, 0) < 1


def test_a_probe_of_one_class_is_refused():
    data = EvaluationSet("x", [(0, n) for n in range(10)], classes=["a"] * 10)
    with pytest.raises(ValueError, match="of 1 class"):
        measure_probe(Features(Clusters(), data))


def test_words_and_sentences_are_kept_whole():
    text = "One two,  three. Four five! Six."
    assert [cut_words(text, n) for n in (1, 3, 9)] == ["One", "One two,  three.", text]
    assert [cut_sentences(text, n) for n in (1, 2, 3, 4)] == ["One two,  three.", "One two,  three. Four five!", text, text]


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20, 40])
def test_tokens_are_cut_within_the_budget_between_words(tokenizer, count):
    text = " ".join([*CORPUS, "unheard-of café words 🦊 don't fit"])
    cut = cut_tokens(tokenizer, text, count)
    whole, kept = tokenizer(text), tokenizer(cut)
    assert text.startswith(cut) and kept.total <= count
    assert kept.ids[1:-1] == whole.ids[1 : kept.total - 1], "the tokens kept are those of the whole text"
    if len(cut) < len(text):
        words = text[len(cut) :].split(maxsplit=1)
        following = tokenizer(cut + text[len(cut) : text.index(words[0], len(cut)) + len(words[0])])
        assert following.total > count, "one more word would not have fitted"


def test_texts_that_the_model_itself_cuts_stay_whole(tokenizer):
    text = " ".join(CORPUS * 5)
    assert cut_tokens(tokenizer, text, 77) == cut_tokens(tokenizer, text, 500) == text
    assert cut_tokens(tokenizer, "A red fox.", 20) == "A red fox."
    assert cut_tokens(tokenizer, "unheardofunheardofunheardof fox", 5) == ""


def test_the_effective_length_is_the_first_to_come_near_the_best():
    assert effective_length({"10": 20.0, "20": 94.9, "40": 95.0, "60": 100.0, "77": 97.0}) == 40
    assert effective_length({"10": 0.0, "20": 0.0}) is None


def test_length_finds_the_word_that_tells_pictures_apart(tokenizer):
    """Of twelve words the eleventh tells; a reader that stops before it finds nothing."""

    class Reader:
        def __init__(self):
            self.tokenizer = tokenizer

        def encode_text(self, texts):
            return np.array([np.eye(5)[next((int(w) for w in text.split() if w.isdigit()), 4)] for text in texts], np.float32)

        encode_image = encode_text

    data = EvaluationSet("x", list("0123"), [f"{'fox ' * 6}pond. Red red red {i} boat. A fox." for i in range(4)])
    found = measure_length(Features(Reader(), data))
    assert found["text to image R@1 by words"] == {"5": 0, "10": 0, "20": 100, "40": 100, "80": 100, "160": 100}
    assert found["text to image R@1 by sentences"] == {"1": 0, "2": 100, "4": 100, "8": 100, "all": 100}
    assert found["mean rank by words"]["5"] == 4 and found["mean rank by sentences"]["all"] == 1
    assert found["text to image R@1 by tokens"]["10"] == 0 and found["effective length"] == 20
    assert list(found["mean rank by tokens"]) == ["10", "20", "40", "60", "77", "120", "180", "248"]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("families", [(), ("f", "g", "f", "g", "f", "g", "f")])
def test_alignment_equals_a_double_loop(several, families):
    texts = ["A b. C d. E f.", "G h. I j.", "K l.", "M n. O p.", "Q r. S t.", "U v. W x.", "Y z."]
    owners = [0, 1, 2, 3, 4, 5, 6, 0, 3, 3] if several else list(range(7))
    texts += ["Aa.", "Bb.", "Cc."] if several else []
    data = EvaluationSet("x", [f"p{i}" for i in range(7)], texts, families=families, owners=owners if several else ())
    encoder = Hashed()
    found = measure_alignment(Features(encoder, data))
    s = encoder.encode_text(texts) @ encoder.encode_image(data.pictures).T
    family = families or ["all"] * 7
    pairs = list(enumerate(owners))
    own = [s[i, p] for i, p in pairs]
    pictures = [[s[i, q] for q in range(7) if q != p and family[q] == family[p]] for i, p in pairs]
    captions = [[s[j, p] for j, q in pairs if q != p and family[q] == family[p]] for i, p in pairs]
    assert found["mean positive cosine"] == pytest.approx(np.mean(own), abs=1e-4)
    assert found["mean negative cosine"] == pytest.approx(np.mean(sum(pictures, [])), abs=1e-4)
    assert found["temperature"] == 0.05
    for direction, negatives in (("text to image", pictures), ("image to text", captions)):
        margins = [a - max(others) for a, others in zip(own, negatives, strict=True)]
        assert found[f"margin {direction}, mean"] == pytest.approx(np.mean(margins), abs=1e-4)
        assert found[f"margin {direction}, median"] == pytest.approx(np.median(margins), abs=1e-4)
        assert found[f"margin {direction}, deciles"]["50"] == found[f"margin {direction}, median"]
        assert found[f"margin {direction}, negative (%)"] == pytest.approx(100 * np.mean(np.array(margins) < 0), abs=0.01)
        shares = [
            np.mean([other > a - gamma for a, others in zip(own, negatives, strict=True) for other in others])
            for gamma in GAMMAS
        ]
        assert list(found[f"negatives above S_ii − γ, {direction} (%)"].values()) == pytest.approx(
            100 * np.array(shares), abs=0.01
        )
    above = [sum(other >= a for other in others) for a, others in zip(own, pictures, strict=True)]
    for r, error in found["top-r error, text to image (%)"].items():
        assert error == pytest.approx(100 * np.mean(np.array(above) >= int(r)), abs=0.01)
    assert list(found["top-r error, text to image (%)"]) == (["1", "2"] if families else ["1", "2", "5"])
    if several:
        groups = [[s[i, p] for i, p in pairs if p == picture] for picture in (0, 3)]
        assert found["variance over captions"] == pytest.approx(np.mean([np.var(group) for group in groups]), abs=1e-5)
    else:
        parts = [[text[a:b] for a, b in split_sentences(text)] for text in texts]
        rows = [encoder.encode_text(p) @ encoder.encode_image([f"p{i}"])[0] for i, p in enumerate(parts) if len(p) > 1]
        assert found["variance over sentences"] == pytest.approx(np.mean([np.var(row) for row in rows]), abs=1e-5)


def test_equal_pictures_have_no_margin():
    encoder = SimpleNamespace(
        logit_scale=1.0,
        encode_text=lambda texts: np.eye(2, dtype=np.float32),
        encode_image=lambda _: np.ones((2, 2), np.float32),
    )
    found = measure_alignment(Features(encoder, EvaluationSet("x", ["p", "q"], ["a", "b"])))
    assert found["margin text to image, negative (%)"] == 100 and found["top-r error, text to image (%)"] == {"1": 100}


def test_every_measure_of_the_table_can_be_run():
    assert all(entry.run.__name__ == f"measure_{name}" and entry.about and entry.title for name, entry in MEASURES.items())
    assert CHEAP == ("retrieval", "zeroshot", "alignment")


def test_measures_that_do_not_fit_are_left_out():
    captions = EvaluationSet("x", ["p", "q"], ["a", "b"])
    assert list(skipped(captions, list(MEASURES))) == ["zeroshot", "probe"]
    assert list(skipped(clusters(0, 2), list(MEASURES))) == ["retrieval", "length", "alignment", "attribution"]
    alone = EvaluationSet("x", ["p", "q"], ["a", "b"], families=["f", "g"], classes=["c", "d"])
    assert list(skipped(alone, list(MEASURES))) == list(MEASURES)
    found = measure(Hashed(), captions)
    assert "long text to image R@1" in found and "temperature" in found and "zero-shot accuracy" not in found
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(ValueError, match="measure recal is unknown; there are retrieval"):
        measure(Hashed(), captions, ["recal"])


def test_pictures_are_encoded_once_for_all_measures():
    class Counting(Hashed):
        calls = 0

        def encode_image(self, pictures, batch_size):
            assert batch_size == 3
            self.calls += 1
            return self.encode_text(pictures, batch_size)

        def encode_text(self, texts, batch_size):
            return super().encode_text(texts)

    encoder = Counting()
    data = EvaluationSet("x", ["p", "q", "r"], ["a", "b", "c"], ["d", "e", "f"], classes=["g", "h", "g"])
    assert "linear probe accuracy" not in measure(encoder, data, CHEAP, batch_size=3, templates=("A {}.",), seed=1)
    assert encoder.calls == 1


def test_a_real_encoder_has_what_the_measures_ask_for(tiny_model_folder):
    import longclip

    encoder = longclip.load(tiny_model_folder(77))
    from longclip.evaluation.data import read_sets

    data, *_ = read_sets("picturebook", scenes=6, families=0, training_scenes=8)
    found = measure(encoder, data, list(MEASURES), explained=1)
    assert found["effective length"] is None or found["effective length"] <= 77
    assert json.loads(json.dumps(found)) == found and found["linear probe training pictures"] == 8
    whole = found["text to image R@1 by sentences"]["all"]
    assert whole == found["text to image R@1 by tokens"]["77"] == found["text to image R@1 by tokens"]["248"]


def test_importing_the_measures_is_light():
    code = (
        "import sys, longclip.evaluation, longclip.commands.evaluate;"
        "print({'torch', 'open_clip', 'numpy', 'PIL', 'sklearn'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    done = subprocess.run(
        [sys.executable, "-c", "import sys, longclip.evaluation.probe; print('sklearn' in sys.modules)"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
