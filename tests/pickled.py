"""What is asked of models in another process: a module that such a process can import by its name."""

import pickle

import lmkit

TEXT = "whether it is nobler in the mind, or not\nto be: that is the question\n" * 2


def answers(model):
    """Return what depends on the vocabulary, on scores, and on how tokens are drawn."""
    return model.log_prob(TEXT), model.sample(n=12, seed=1), model.text.encode_text(TEXT).ids.tolist()


def answers_of(data):
    return answers(pickle.loads(data))


def answer_or_error(data):
    try:
        return answers_of(data)
    except lmkit.LmkitError as error:
        return error


def ids_of(text):
    return text.encode_text(TEXT).ids.tolist(), text.vocabulary.ids(["to", "t", "?"]).tolist()
