"""The one base class of every error that a user can cause."""

from __future__ import annotations

__all__ = ["AutoADError"]


class AutoADError(Exception):
    """A fault in what the user gave; the command line prints it in one line and exits with 2.

    The message says what was got, what was expected and what to do.

    Example:
        >>> str(AutoADError("--epochs is 0. Expected 1 or more. Give --epochs 5."))
        '--epochs is 0. Expected 1 or more. Give --epochs 5.'
    """
