"""`python -m gateway` is `metergate`."""

from gateway.commands.cli import main

if __name__ == "__main__":
    main()
