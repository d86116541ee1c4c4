"""`python -m wavewright`."""

from wavewright.cli.app import main

main()
