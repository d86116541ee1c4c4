"""From written text to the words that are spoken: numbers, abbreviations, symbols, sentences."""
