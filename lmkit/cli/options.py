"""The command class and the options that several commands share, so that a flag means the same everywhere."""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Callable
from typing import Any

import click

from lmkit.errors import LmkitError
from lmkit.memory import check_address_space

__all__ = [
    "ByteSize",
    "Command",
    "FloatList",
    "IntList",
    "RangeList",
    "allow_unk_option",
    "color_option",
    "cutoffs_option",
    "decoding_options",
    "format_option",
    "input_options",
    "log_base_option",
    "model_input_options",
    "model_option",
    "models_option",
    "model_unless",
    "option",
    "output_option",
    "piece_options",
    "quiet_option",
    "reserved_option",
    "reset_option",
    "seed_option",
    "text_option",
    "threads_option",
    "top_option",
    "vocabulary_options",
    "way_options",
]

Decorator = Callable[[Callable], Callable]

MEMORY_OPTIONS = ("hidden", "layers", "batch", "bptt", "order", "orders", "memory", "vocab_size", "count")
LARGEST = 2**63  # no option takes a whole number as large as this
LONGEST_RANGE = 1000  # numbers of 1-3 and its like
NO_THREAD = "can't start new thread"  # what Python says where the system gives it none


class Command(click.Command):
    """A command whose help begins with examples."""

    def __init__(self, *args, examples: str, **options):
        super().__init__(*args, **options)
        self.examples = examples.strip().splitlines()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command where there are the means for it."""
        check_address_space()
        try:
            return super().invoke(ctx)
        except RuntimeError as error:
            if NO_THREAD not in str(error):
                raise
            raise LmkitError(
                "the system allows no more threads, or no memory for them; give a smaller --threads, or raise the "
                "limits (ulimit -u, ulimit -v)"
            ) from None
        except MemoryError:
            flags = self.flags(ctx)
            smaller = [flags[name] for name in MEMORY_OPTIONS if name in flags]
            names = " or ".join(filter(None, (", ".join(smaller[:-1]), *smaller[-1:])))
            raise LmkitError(f"not enough memory for this{names and f'; a smaller {names} needs less'}") from None

    def make_parser(self, ctx: click.Context) -> click.parser._OptionParser:
        """Return Click's parser, made to refuse a second value where the last one would silently win."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_once(args):
            values, rest, order = parse(args)
            for parameter, times in collections.Counter(order).items():
                if times > 1 and isinstance(parameter, click.Option) and not may_be_repeated(parameter):
                    names = " or ".join([parameter.opts[-1], *parameter.secondary_opts])
                    raise click.UsageError(f"{names} is given twice, and takes one value", ctx)
            return values, rest, order

        parser.parse_args = parse_once
        return parser

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(" " * formatter.current_indent + line.strip() + "\n")
        formatter.write_paragraph()
        super().format_usage(ctx, formatter)

    def flags(self, ctx: click.Context) -> dict[str, str]:
        """Return the options that matter to what is asked for, by the names of their parameters."""
        return {parameter.name: parameter.opts[-1] for parameter in self.get_params(ctx)}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options under the headings of their sections."""
        sections: dict[str, list] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def may_be_repeated(option: click.Option) -> bool:
    """Whether all values of an option count, or it is a flag that always says the same."""
    return option.multiple or (option.is_flag and not option.secondary_opts)


class NumberList(click.ParamType):
    """Numbers with commas between them."""

    number: type = float
    name = "numbers"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(self.number(part) for each in value.split(",") for part in self.spelled(each))
        except ValueError:
            self.fail(f"{value!r} is not a list of {self.name} with commas between them", param, ctx)
        if self.number is int and any(abs(number) >= LARGEST for number in numbers):
            self.fail(f"{value!r} has a number that is out of all range", param, ctx)
        return numbers

    def spelled(self, part: str) -> list[str]:
        """Return the numbers that a part between two commas stands for."""
        return [part]


class FloatList(NumberList):
    """Floats with commas between them: 0.5,1,1.5."""


class IntList(NumberList):
    """Integers with commas between them."""

    number = int
    name = "integers"


class RangeList(IntList):
    """Integers with commas between them; 1-3 stands for 1,2,3."""

    def spelled(self, part: str) -> list[str]:
        """Return the numbers of a range that is not too long, or the part itself."""
        first, dash, last = part.strip().partition("-")
        if dash and first.isdigit() and last.isdigit() and 0 <= int(last) - int(first) < LONGEST_RANGE:
            return [str(number) for number in range(int(first), int(last) + 1)]
        return [part]


class ByteSize(click.ParamType):
    """A number of bytes: 5000000, 100M, 1.5G; K, M, G and T are powers of 1024, as for sort and lmplz."""

    name = "bytes"

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", value.strip().upper())
        size = float(found[1]) * 1024 ** " KMGT".index(found[2] or " ") if found else 0
        if not 1 <= size < LARGEST:
            self.fail(f"{value!r} is no number of bytes, such as 5000000, 100M or 1.5G", param, ctx)
        return int(size)


class Option(click.Option):
    """An option that errors call by its names alone; help shows its environment variable, under the heading of its
    section."""

    def __init__(self, *args, section: str = "Options", **settings):
        super().__init__(*args, **settings)
        self.section = section

    def value_from_envvar(self, ctx: click.Context):
        """Return what the environment says: of an option that may be repeated one value, blanks and all."""
        found = self.resolve_envvar_value(ctx) if self.multiple else None
        return super().value_from_envvar(ctx) if found is None else (found,)

    def get_error_hint(self, ctx: click.Context) -> str:
        return click.Parameter.get_error_hint(self, ctx)


def option(*names: str, env: bool = True, **settings) -> Decorator:
    """Declare an option whose help shows its default and its environment variable: LMKIT_ and its long
    name."""
    long = next(name for name in reversed(names) if name.startswith("--")).split("/")[0]
    settings.setdefault("show_default", True)
    if env:
        settings.update(envvar="LMKIT_" + long.strip("-").replace("-", "_").upper(), show_envvar=True)
    return click.option(*names, cls=Option, **settings)


def together(*decorators: Decorator) -> Decorator:
    """Apply several options in the order in which help lists them."""

    def decorate(function):
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


model_option = option("-m", "--model", default="model.lmkit", metavar="FILE", help="The model to use.")


models_option = option(
    "-m", "--model", multiple=True, default=["model.lmkit"], metavar="FILE", help="The model to use."
)

decoding_options = together(
    option(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="Below 1 more likely, above 1 wilder text; 0 is greedy.",
    ),
    option("--top-k", type=click.IntRange(min=1), metavar="K", help="Only the K most probable tokens."),
    option("--top-p", type=float, metavar="P", help="Only the most probable tokens that sum to P."),
    option("--min-p", type=float, metavar="P", help="Only tokens at least P times as probable as the best."),
)

allow_unk_option = option("--allow-unk", is_flag=True, show_default=False, help="Let <unk> come.")

output_option = option(
    "-o",
    "--output",
    env=False,
    default="-",
    metavar="FILE",
    help="Write here, a file whole or not at all; - is the standard output.",
)

top_option = functools.partial(
    option,
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only so many rows, the largest first (of each order); 0 for all.",
)

cutoffs_option = functools.partial(
    option,
    "--cutoffs",
    type=IntList(),
    metavar="C1,C2,...",
    help="Drop n-grams seen so often or less, per order; the last number holds for all higher orders.",
)

color_option = option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours, or marks under the text. auto: colours on a terminal, unless NO_COLOR is set or TERM is dumb.",
)

quiet_option = option("-q", "--quiet", is_flag=True, show_default=False, help="No progress bar and no notices.")


def seed_option(shown: str = "picked, and told on a terminal") -> Decorator:
    """Declare --seed."""
    return option("--seed", type=click.IntRange(min=0), metavar="N", show_default=shown, help="Same seed, same output.")


threads_option = option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="all",
    metavar="N",
    help="Cores to use; the outcome is the same.",
)


text_option = functools.partial(
    option, "--text", "texts", multiple=True, metavar="FILE", help="A text to score; may be repeated."
)

reset_option = option(
    "--reset",
    type=click.Choice(["file", "sentence"]),
    default="file",
    help="Where the model begins anew (an n-gram model does so at each sentence anyway), and the tokenizer.",
)


def format_option(default: str = "text") -> Decorator:
    """Declare --format."""
    return option(
        "--format",
        "form",
        type=click.Choice(["text", "tsv", "json"]),
        default=default,
        help="For people, for cut and sort, or one JSON object a line.",
    )


reserved_option = functools.partial(
    option,
    "--reserved",
    type=click.Choice(["error", "space", "keep"]),
    help="What <unk>, <s> and </s> in a text are: an error, white space, or (<unk>) the unknown word.",
)
input_options = together(
    option(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        help="The encoding of the text; UTF-8 goes with any BOM.",
    ),
    option(
        "--errors",
        type=click.Choice(["strict", "keep", "report"]),
        default="strict",
        help="What to do about invalid bytes: stop and say where, or let them pass as they are; or, in commands that "
        "write a row for each line, leave the row of the line empty, as that of a reserved word, say so on stderr, go "
        "on, and exit with 1.",
    ),
)
model_input_options = together(reserved_option(show_default="the model's"), input_options)

piece_options = together(
    option("--no-bos", is_flag=True, show_default=False, help="Lines are pieces: nothing is known of what is before."),
    option("--no-eos", is_flag=True, show_default=False, help="Lines are pieces: their ends are not scored."),
)
log_base_option = option(
    "--log-base", type=click.Choice(["e", "10", "2"]), default="e", help="The base of the logarithms that are printed."
)

tokenizer_option = functools.partial(
    option,
    "--tokenizer",
    type=click.Choice(["word", "char", "byte", "whitespace"]),
    help="word, char and byte keep the whole text; whitespace is what n-gram toolkits call a token.",
)
sentence_option = functools.partial(
    option, "--sentence", type=click.Choice(["line", "paragraph", "text"]), help="Where sentences end."
)

way_options = together(
    tokenizer_option(show_default="the model's"),
    sentence_option(show_default="the model's, or that of the tokenizer"),
    option(
        "--ids", is_flag=True, show_default=False, help="Ids of the model's vocabulary, not tokens; unknown ones are 0."
    ),
)


def model_unless(model: str, tokenizer: str | None) -> str | None:
    """Return the model to ask how text becomes tokens, if nothing else says so."""
    named = click.get_current_context().get_parameter_source("model") is not click.core.ParameterSource.DEFAULT
    return model if named or tokenizer is None else None


vocabulary_options = together(
    tokenizer_option(default="word"),
    sentence_option(show_default="line for whitespace, else paragraph"),
    option("--lowercase", is_flag=True, show_default=False, help="Turn capital letters into small ones."),
    option("--vocab", metavar="FILE|MODEL", help="The only tokens to know; all others become <unk>."),
    option(
        "--escaped/--verbatim",
        default=None,
        show_default="escaped; words of --tokenizer whitespace as the file tells",
        help="Whether tokens in files of vocabularies and counts are escaped, or stand as they are.",
    ),
    option("--vocab-size", type=click.IntRange(min=1), metavar="N", help="Keep the N most frequent tokens."),
    option(
        "--min-count",
        type=click.IntRange(min=1),
        default=1,
        metavar="N",
        help="Keep tokens seen N times or more.",
    ),
    reserved_option(default="error"),
)
