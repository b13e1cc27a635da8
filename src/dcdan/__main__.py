"""``python -m dcdan``: the program, as torchrun starts it."""

from dcdan.cli.main import main

if __name__ == "__main__":
    main()
