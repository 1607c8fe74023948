"""Every command explains itself, begins with an example, and an option means the same everywhere."""

import collections

import click
import pytest

from lmkit import registry
from lmkit.cli.running import COMMANDS, cli
from lmkit.text import escape

GROUP = click.Context(cli)
ALL = {name: cli.get_command(GROUP, name) for name in COMMANDS}
PROMISED = {
    "train": "--arch --order --smoothing --interpolate --back-off --k --discount --alpha --interpolate-unigrams "
    "--no-interpolate-unigrams --cutoffs --keep-counts -q -o --output --discount-fallback "
    "--tokenizer --sentence --lowercase --vocab --vocab-size --min-count "
    "--limit-vocab --escaped --verbatim --reserved --encoding --errors --threads",
    "sample": "-m --model -n --n --sentences --count --separator --prompt --temperature --top-k --top-p "
    "--min-p --repetition-penalty --stop --keep-stop --allow-unk --show --color --seed --threads -q --format -o",
    "perplexity": "-m --model --reset --encoding --errors --format -o --threads -q",
    "compare": "--text --reset --resamples --confidence --block --seed --encoding --errors --format -o --threads -q",
    "score": "-m --model --by --nbest --feature --encoding --errors --format -o --threads -q",
    "explain": "-m --model --against --neurons --html --svg --color --encoding --errors -o --threads -q",
    "filter": "-m --model --max-perplexity --keep --encoding --errors -o --threads -q",
    "tokenize": "-m --model --tokenizer --sentence --ids --encoding --errors -o -q",
    "convert": "--tokenizer --sentence --encoding --errors --threads -q",
    "mix": "-o --output --tune --weights --cache --dynamic --encoding --errors --threads -q",
    "quiz": "-m --model --rounds --passages --lines --length --copied --temperature --top-k --top-p --min-p "
    "--allow-unk --seed --key --encoding --errors --format -o --threads -q",
    "prune": "-o --output --threshold --ngrams --size --cutoffs --quantize --threads -q",
    "plot": "--vary --text --axis --measure --scale --dimensions --valid --order --smoothing --interpolate "
    "--back-off --k --discount --alpha --cutoffs --tokenizer --sentence --lowercase --vocab --vocab-size --min-count "
    "--encoding --errors --format -o --output --threads -q",
    "detokenize": "-m --model --tokenizer --sentence --ids -o -q",
    "next": "-m --model --top --format -o -q",
    "nearest": "-m --model --top --side --format -o -q",
    "count": "--orders --tokenizer --sentence --lowercase --reserved --encoding --errors --format -o --threads -q",
    "info": "-m --model --verify --format -o -q",
}

OUTPUTS = ("--output", "--html", "--svg", "--resume")


def options(command):
    return [p for p in command.params if isinstance(p, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_examples_and_explains_each_option(succeed, name):
    for flag in ("-h", "--help"):
        text = succeed(name, flag).text
        assert text.startswith("Examples:\n  ") and f"lmkit {name}" in text.split("Usage:")[0]
    for parameter in options(ALL[name]):
        assert parameter.help and parameter.help.endswith("."), parameter.name
        assert parameter.opts[-1] in text
    assert set(PROMISED[name].split()) <= {o for p in options(ALL[name]) for o in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_commands_that_exist(name):
    for line in ALL[name].examples:
        for words in (part.split() for part in line.split("|")):
            if words[0] == "lmkit":
                command = ALL[words[1]]
                known = {o for p in options(command) for o in p.opts}
                flags = [w for w in words[2:] if w.startswith("-") and w != "-" and not w.startswith("---")]
                assert set(flags) <= known, line


def test_a_flag_means_the_same_everywhere():
    meanings = collections.defaultdict(set)
    for name, command in ALL.items():
        for p in options(command):
            for flag in p.opts:
                output = name in ("train", "prune", "mix") and flag in ("-o", "--output")
                learning = name == "train" and flag == "--reset"  # the rule of a training has one choice more
                if not output and not learning:
                    meanings[flag].add((p.name, p.help, p.envvar, str(p.type)))
    assert {flag: m for flag, m in meanings.items() if len(m) > 1} == {}


def test_every_option_but_those_that_name_an_output_has_its_variable():
    for command in ALL.values():
        for p in options(command):
            long = next(o for o in reversed(p.opts) if o.startswith("--"))
            assert (
                long in ("--output", "--html", "--svg", "--resume")
                or p.envvar == "LMKIT_" + long[2:].replace("-", "_").upper()
            )


def test_train_offers_every_family():
    (arch,) = (p for p in options(ALL["train"]) if p.name == "arch")
    assert list(arch.type.choices) == list(registry.ARCHITECTURES)


@pytest.mark.parametrize("name", ["count", "next", "nearest"])
def test_help_explains_the_escapes_that_there_are(succeed, name):
    text = " ".join(succeed(name, "-h").text.split())
    for token in (" ", "\n", "\t", "\r", "\\", ""):
        assert f"{escape(token)} " in text
    assert r"\xNN" in text and r"\uNNNN" in text


def test_the_whole_lists_its_commands(succeed):
    text = succeed("--help").text
    assert text.startswith("Examples:\n") and all(f"  {name} " in text for name in COMMANDS)
    assert "lmkit" in succeed("--version").text


def test_environment_under_flag_over_default(run, succeed, monkeypatch, cows):
    monkeypatch.setenv("LMKIT_MODEL", str(cows))
    assert len(succeed("next", "cows eat").text.splitlines()) == 5
    monkeypatch.setenv("LMKIT_TOP", "2")
    assert len(succeed("next", "cows eat").text.splitlines()) == 2
    assert len(succeed("next", "cows eat", "--top", 3).text.splitlines()) == 3
    monkeypatch.setenv("LMKIT_TOP", "many")
    assert run("next", "cows eat").code == 2


def test_help_needs_neither_numpy_nor_numba(process):
    code = "import sys; from lmkit import cli; cli.run(['train', '-h']); cli.run(['--help']); " \
        "print([m for m in ('numpy', 'numba', 'tqdm') if m in sys.modules])"  # fmt: skip
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_with_one_value_is_not_given_twice(run, name, monkeypatch):
    """The last value would win silently; one in the environment is a default, and gives way."""
    assert any(p.multiple or not p.is_flag for p in options(ALL[name]))
    for parameter in options(ALL[name]):
        flag = parameter.opts[-1]
        if parameter.is_flag:
            result = run(name, flag, flag, *parameter.secondary_opts)
            assert ("is given twice" in result.err) == bool(parameter.secondary_opts)
            continue
        if parameter.multiple:
            continue
        types = parameter.type.types if isinstance(parameter.type, click.Tuple) else [parameter.type]
        values = [getattr(kind, "choices", ["9"])[0] for kind in types]
        result = run(name, flag, *values, flag, *values)
        assert result.code == 2 and f"{flag} is given twice" in result.err, result.err
    monkeypatch.setenv("LMKIT_THREADS", "1")
    assert "twice" not in run(name, "--threads", "2").err
