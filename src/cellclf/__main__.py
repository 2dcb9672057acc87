"""`python -m cellclf` is the command `cellclf`."""

from __future__ import annotations

import sys

from cellclf._cli import main

if __name__ == "__main__":
    sys.exit(main())
