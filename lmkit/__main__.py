"""`python -m lmkit` is `lmkit`."""

from lmkit.cli import main

if __name__ == "__main__":
    main()
