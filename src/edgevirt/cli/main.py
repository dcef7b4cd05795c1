"""Entry point of the `edgevirt` command.

Commands are imported when they are called: help and completion must not pay for TLS, YAML or tables.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from edgevirt.cli.errors import CommandError

COMMANDS = {
    "up": ("up", "Start edgevirt on this machine."),
    "down": ("down", "Stop all guests and edgevirt; leaves nothing running behind."),
    "status": ("status", "Show what is running on this machine."),
    "start": ("power", "Start a virtual machine."),
    "stop": ("power", "Stop a virtual machine."),
    "restart": ("power", "Restart a virtual machine."),
    "console": ("console", "Connect to the serial console of a running virtual machine."),
    "image": ("image", "Build, import, list and remove disk images of this machine."),
    "version": ("version", "Show the version."),
}
"""Command -> (module in edgevirt.cli.commands, one line of help)."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgevirt.cli.commands.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Virtual machines as Kubernetes objects, on one box.

    Machines are made and changed with kubectl; this command runs the box and does what kubectl cannot.
    """


def main() -> None:
    """Run the command line; errors go to stderr with what to do next, exit code 1 (2 for wrong usage)."""
    try:
        code = cli.main(prog_name="edgevirt", standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        print(f"edgevirt: {error}", file=sys.stderr)
        if error.next_step:
            print(f"  next: {error.next_step}", file=sys.stderr)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        print("edgevirt: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
