"""``autoad-nni doctor``: what of this installation and machine will fail, and what to do about it."""

from __future__ import annotations

import typer

__all__ = ["doctor"]


def doctor() -> None:
    """Looks for what will fail here: packages, commands, ports, GPU, disk, plugins, weights.

    Ends with 1 when something will fail; notes and warnings alone end with 0.
    """
    from autoad_nni.cli.usage import printable, say
    from autoad_nni.doctor import machine, packages, plugins, server
    from autoad_nni.doctor.findings import Level, run_checks

    checks = (
        packages.required_packages, packages.imports, packages.extras, server.commands, server.node, server.free_port,
        server.open_servers, machine.memory, machine.gpu, machine.disk, machine.cache, plugins.installed_plugins,
        plugins.extractors,
    )  # fmt: skip
    counted = dict.fromkeys(Level, 0)
    for finding in run_checks(checks):
        counted[finding.level] += 1
        say(printable(f"{finding.level.value:<8} {finding.what}"))
        if finding.advice:
            say(printable(f"{'':<8} -> {finding.advice}"))
    failures, warnings = counted[Level.FAILURE], counted[Level.WARNING]
    say(f"{failures or 'no'} failure{'' if failures == 1 else 's'}, {warnings or 'no'} "
               f"warning{'' if warnings == 1 else 's'}")  # fmt: skip
    if failures:
        raise typer.Exit(1)
