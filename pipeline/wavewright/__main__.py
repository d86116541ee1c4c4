"""`python -m wavewright`."""

from wavewright.cli import main

main()
