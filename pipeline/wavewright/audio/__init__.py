"""Audio files and waveforms: reading, writing, filters, loudness, faulty headers."""
