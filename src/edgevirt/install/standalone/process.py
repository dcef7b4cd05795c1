"""What the control-plane process and the node process have in common: from their start to their last word.

Either ends with a reason for whoever started it: in the log if it was at work already, else by its report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from edgevirt.install.standalone import config
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.logging_setup import configure
from edgevirt.install.standalone.parts import first_error
from edgevirt.install.standalone.reporter import Reporter, run_until_told

log = logging.getLogger("edgevirt.process")

Serve = Callable[[Layout, config.Config, Callable[[], None]], Coroutine[Any, Any, None]]
"""The process's work: it calls the third argument once it can do it, and returns only by being cancelled."""


def run_process(
    name: str,
    report_fd: int | None,
    serve: Serve,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run `serve` until SIGTERM. Ends the process with exit code 1, and says why, if it cannot or fails."""
    configure()
    layout = Layout.from_environment()
    layout.create()
    reporter = Reporter(layout, name, report_fd)
    try:
        settings = config.load(layout.config_file)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(run_until_told(serve(layout, settings, reporter.ready), reporter))
    except (config.ConfigError, OSError) as error:
        reporter.fail(f"the {name} process cannot start: {error}")
    except BaseExceptionGroup as group:
        log.exception("the process ended", extra={"process": name})
        reporter.fail(f"the {name} process cannot go on: {first_error(group)}")
