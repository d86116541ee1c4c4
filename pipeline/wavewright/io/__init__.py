"""Files and text formats: atomic writing, progress bars, strict YAML, CSV, fingerprints."""
