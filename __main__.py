"""`python -m mambapro` is the `mambapro` command."""

if __name__ == "__main__":
    from .cli.terminal.signals import watch

    # an interrupt is one from here on
    watch()

    from .common.children import tie_to_parent

    # before the long imports: a parent may end at any moment
    tie_to_parent()

    from .cli.entry import main

    main()
