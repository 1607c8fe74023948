"""Large files are not checked when they are opened: a damaged one may answer nonsense, and no worse than that."""

import numpy as np
import pytest
from fuzzing import answers_of
from ngram.reference_ngram import a_text, model_of

import lmkit
from lmkit import storage
from lmkit.errors import ModelError
from lmkit.ngram.trie import BACKOFF, LOG_P

SIZE = 12


@pytest.fixture
def saved(tmp_path):
    """A model of order 3, and what is needed to write its file again."""
    model = lmkit.api.Model(model_of(a_text(SIZE, 300, 41), SIZE, order=3))
    model.save(tmp_path / "m.lmkit")
    file = storage.open_model_file(tmp_path / "m.lmkit")
    return model, file.metadata, {name: np.array(tensor) for name, tensor in file.tensors.items()}


@pytest.mark.parametrize(("name", "column"), [("nodes", LOG_P), ("nodes", BACKOFF), ("leaves", LOG_P)])
@pytest.mark.parametrize("number", [np.nan, np.inf, 1000.0])
def test_numbers_are_checked_when_a_small_file_is_opened_or_a_large_one_asked(saved, monkeypatch, name, column, number):
    model, metadata, tensors = saved
    tensors[f"ngram.{name}"].view(np.float32)[1:-1, column] = number
    storage.save(model.path, "ngram", metadata, tensors)
    said = r"m\.lmkit: the n-grams of the model are damaged: .* is not the logarithm"
    with pytest.raises(ModelError, match=said):
        lmkit.load(model.path)
    monkeypatch.setattr(storage, "VERIFY_BELOW", 0)
    damaged = lmkit.load(model.path)
    text = ("t", b"w3 w4 w5 w3 w3 w4\nw9 w3 w4\n" * 9)
    for ask in (lambda: damaged.perplexity(text), lambda: damaged.next("w3 w4")):
        with pytest.raises(ModelError, match=said):
            ask()


def test_what_is_impossible_is_no_damage(saved):
    model, metadata, tensors = saved
    tensors["ngram.leaves"].view(np.float32)[:, LOG_P] = -np.inf
    storage.save(model.path, "ngram", metadata, tensors)
    found = lmkit.load(model.path).perplexity(("t", b"w3 w3 w3\n"))
    assert found.perplexity == np.inf and found.as_dict()["infinite"]


@pytest.mark.parametrize("order", [float("nan"), float("inf"), 7, "3", None])
def test_an_order_that_is_not_that_of_the_n_grams(saved, order):
    """It is shown with each score, and a page for browsers has it in its JSON."""
    model, metadata, tensors = saved
    metadata["config"]["order"] = order
    storage.save(model.path, "ngram", metadata, tensors)
    damaged = lmkit.load(model.path)
    assert damaged.settings()["order"] == 3
    assert b'"order":3' in b"".join(lmkit.explain_page(damaged, ("t", b"w3 w4\n")))


@pytest.mark.parametrize("orders", [33, 60, 10_000])
def test_more_orders_than_there_can_be(saved, orders):
    """Asking takes the square of the order, and lines of an ARPA file would not fit where they are written."""
    model, metadata, tensors = saved
    one, words, *_ = metadata["config"]["ngrams"]
    metadata["config"]["ngrams"] = [one, words, *[0] * (orders - 1)]
    tensors["ngram.nodes"] = tensors["ngram.nodes"][: words + 2]
    tensors["ngram.leaves"] = tensors["ngram.leaves"][:0]
    storage.save(model.path, "ngram", metadata, tensors)
    with pytest.raises(ModelError, match=f"n-grams of {orders} words; lmkit knows up to 32"):
        lmkit.load(model.path)
    metadata["config"] |= {"quantize": 8, "codes": [[1, 1]] * (orders - 1)}
    storage.save(model.path, "ngram", metadata, tensors)
    with pytest.raises(ModelError, match=f"n-grams of {orders} words; lmkit knows up to 32"):
        lmkit.load(model.path)


def test_damaged_models_answer_or_refuse():
    """No crash, no hang, no error but those on purpose; what a process of its own says, see `damaged_models.py`."""
    answered, refused = answers_of("ngram/damaged_models.py", rounds=3, seed=7)
    assert answered > 200 and refused > 20
