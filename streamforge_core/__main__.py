"""`python -m streamforge_core` is the command line."""

from streamforge_core.cli import main

if __name__ == "__main__":
    main()
