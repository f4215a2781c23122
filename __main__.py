"""`python -m mambapro` is the `mambapro` command."""

from .cli.entry import main

if __name__ == "__main__":
    main()
