"""Free text to speech, by an acoustic model and a vocoder: one text, many, or as it comes."""
