"""`python -m nexusai`."""

from nexusai.cli import main

main()
