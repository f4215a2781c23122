"""`python -m mambapro` is the `mambapro` command."""

from .children import tie_to_parent

if __name__ == "__main__":
    # before the long imports: a parent may end at any moment
    tie_to_parent()
    from .cli.entry import main

    main()
