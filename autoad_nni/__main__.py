"""``python -m autoad_nni`` is the ``autoad-nni`` command."""

from __future__ import annotations

from autoad_nni.cli import main

if __name__ == "__main__":
    main()
