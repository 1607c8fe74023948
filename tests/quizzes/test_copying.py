"""The longest common run is that of a search of every part, whatever the texts are and however they are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_text import longest_run
from text_strategies import texts as any_text

from lmkit.quizzes import copying
from lmkit.quizzes.copying import Run, longest_runs
from lmkit.text.vocabulary import to_bytes

few_letters = st.text("ab", max_size=24) | st.text("abc", max_size=12)


def cut(text, places):
    """A text as blocks of bytes that end anywhere."""
    data = to_bytes(text)
    places = sorted(place % (len(data) + 1) for place in places)
    return [data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True)]


def check(passages, texts, places):
    found = longest_runs(passages, [cut(text, places) for text in texts])
    assert [(run.start, run.length) for run in found] == [longest_run(passage, texts) for passage in passages]


@settings(deadline=None)  # the first example waits for the compiler
@given(st.lists(few_letters, max_size=5), st.lists(few_letters, max_size=3), st.lists(st.integers(0, 99), max_size=4))
def test_the_longest_run_of_few_letters(passages, texts, places):
    """Where parts overlap and repeat: states of the automaton are cloned."""
    check(passages, texts, places)


@settings(deadline=None)
@given(st.lists(any_text, max_size=3), any_text, st.lists(st.integers(0, 99), max_size=4), st.data())
def test_the_longest_run_of_any_characters(passages, text, places, data):
    """Blocks may end within a character."""
    start = data.draw(st.integers(0, len(text)))
    check([*passages, text[start : start + 20]], [text, text[::2]], places)


def test_passages_are_searched_in_groups_of_bounded_size(monkeypatch):
    monkeypatch.setattr(copying, "ROOM", 10_000)
    passages = [chr(ord("a") + i) * 30 for i in range(20)] + ["x" * 5000]
    groups = list(copying._grouped(passages))
    assert [passage for group in groups for passage in group] == passages and 3 < len(groups) < 20
    for group in groups[:-1]:
        assert copying._Automaton(group).transitions.nbytes <= 10_000
    assert [run.length for run in longest_runs(passages, [[b"aaa dddd xx"], [b"x"]])] == [
        {"a": 3, "d": 4, "x": 2}.get(passage[0], 0) for passage in passages[:20]
    ] + [2]  # fmt: skip


def test_a_run_goes_over_blocks_and_not_over_texts():
    assert longest_runs(["abcd"], [[b"ab", b"cd"]]) == [Run(0, 4)]
    assert longest_runs(["abcd"], [[b"ab"], [b"cd"]]) == [Run(0, 2)]
    assert longest_runs(["abcd", ""], []) == [Run(0, 0), Run(0, 0)]
    assert longest_runs([], [[b"ab"]]) == []


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_passage_of_the_text_is_found_whole(size):
    text = "".join(f"{i} green bottles\n" for i in range(1000))
    (run,) = longest_runs([f"#{text[700 : 700 + size]}#"], [[text.encode()]])
    assert run == Run(1, size) and run.of(f"#{text[700 : 700 + size]}#") == text[700 : 700 + size]
