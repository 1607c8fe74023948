"""The group of all commands, and what becomes of the errors of each."""

from __future__ import annotations

import importlib
import os
import sys

import click

import lmkit
from lmkit.cli import interrupts, terminal
from lmkit.errors import LmkitError, OptionError
from lmkit.interruption import SIGNALS

__all__ = ["COMMANDS", "INTERRUPTED", "cli", "run"]

COMMANDS = (
    "train", "sample", "perplexity", "compare", "score", "explain", "filter", "next", "nearest", "count", "tokenize",
    "detokenize", "convert", "prune", "mix", "quiz", "plot", "info",
)  # fmt: skip
COMPLETION = "_LMKIT_COMPLETE"  # set by the shell's completion
FAILURE, USAGE, BROKEN_PIPE = 1, 2, 141
INTERRUPTED = tuple(128 + number for number in SIGNALS)


class Commands(click.Group):
    """The commands, each in a module of its own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"lmkit.cli.{name}").command

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in (
                "lmkit train corpus.txt        # a 5-gram model: model.lmkit",
                "lmkit sample --n 200          # 200 tokens from it",
                "lmkit perplexity held.txt     # how surprised is it?",
            ):
                formatter.write("  " + line + "\n")
        formatter.write_paragraph()
        super().format_usage(ctx, formatter)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(lmkit.__version__, prog_name="lmkit")
@click.pass_context
def cli(context):
    """Train, sample and score language models."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; every error becomes one line on stderr."""
    try:
        if COMPLETION in os.environ:
            cli.main(prog_name="lmkit")
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        with interrupts.raising(), cli.make_context("lmkit", arguments) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort) as interrupt:
        prefix = "\n" if terminal.is_terminal(sys.stderr) else ""
        return fail(str(interrupt) or "Interrupted.", interrupts.code_of(interrupt), prefix)
    except BrokenPipeError:
        terminal.close_stdout()
        return BROKEN_PIPE
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} -h)" if error.ctx else ""
        return fail(f"Error: {error.format_message()}{where}", USAGE)
    except click.ClickException as error:
        return fail(f"Error: {error.format_message()}", error.exit_code)
    except OptionError as error:
        return fail(f"Error: {error}", USAGE)
    except LmkitError as error:
        return fail(f"Error: {error}", FAILURE)
    except MemoryError:
        return fail("Error: not enough memory for this", FAILURE)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return fail(f"Error: {name}{error.strerror or error}", FAILURE)


def fail(message: str, code: int, prefix: str = "") -> int:
    """Say one thing on stderr and return the code."""
    terminal.say(message, prefix)
    return code
