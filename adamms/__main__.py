"""`python -m adamms`: the `adamms` command."""

from adamms.cli import main

main()
