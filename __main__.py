"""`python -m mambapro` is the `mambapro` command."""

from .cli.main import main

if __name__ == "__main__":
    main()
