"""Text and phones: symbols, TextGrids, espeak-ng, and text normalisation."""
