"""`python -m relbook` is the command `relstab`."""

import sys

from relstab.cli import main

if __name__ == "__main__":
    sys.exit(main())
