"""The command `relstab`: its own verb is probe; the book's verbs come from `relbook.cli` where that package is.

Exit codes: 0 done; 1 something ran and failed, or work is left; 2 the request makes no sense (one sentence says why).
"""

import argparse
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Collection, Iterable

from relstab.store import environment

ABOVE = "relbook"  # the package above this one; asked for its verbs by name, and only here
VERBS = ("run", "book", "study", "status", "claims", "bench")  # that it has

EPILOG = """examples:
  relstab run                                  execute all notebooks at scale tiny (minutes)
  relstab book                                 the same, then render the book as HTML
  relstab study zoo --scale laptop --jobs 2    train and probe what is missing, resumable at any moment
  relstab claims --paper petrini2021           what the paper says, what we measured, the verdict
  relstab probe --model torchvision:resnet18 --weights resnet18.pt --images pictures/
"""


def parser(arguments: Collection[str] = ()) -> argparse.ArgumentParser:
    """The argument parser, one sub-command per verb. The options of `probe` are there when it is asked for."""
    top = argparse.ArgumentParser(
        prog="relstab",
        description="Relative stability to diffeomorphisms: run the studies, build the book, probe a network.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    def verb(name, function, text):
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(function=function)
        return sub

    if importlib.util.find_spec(ABOVE):
        importlib.import_module(f"{ABOVE}.cli").add_verbs(verb)
    sub = verb("probe", _probe, "measure D, G and R of a network on images of your own")
    if "probe" in arguments:  # its options are those of modules that load torch
        from relstab.probes import command

        command.add_arguments(sub)
    return top


def main(arguments: Iterable[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] and arguments[0] in VERBS and not importlib.util.find_spec(ABOVE):
        print(
            f"relstab: the command {arguments[0]} belongs to the package {ABOVE}, which is not here; "
            "it comes with a checkout of the project",
            file=sys.stderr,
        )
        return 2
    options = parser(arguments).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # progress is seen in a file or a pipe, too
    try:
        return options.function(options) or 0
    except KeyboardInterrupt:
        print("relstab: stopped; what was finished is kept, and the same command resumes", file=sys.stderr)
        return 130
    except BrokenPipeError:  # an OSError, but none of the user's making
        # A reader such as `head` left, which is no error; what is still buffered must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if environment.flag("RELSTAB_DEBUG"):
            raise
        print(f"relstab: {error}", file=sys.stderr)
        return 2


def _probe(options: argparse.Namespace) -> None:
    from relstab.probes import command

    return command.command(options)
