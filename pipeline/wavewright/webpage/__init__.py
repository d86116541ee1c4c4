"""Self-contained HTML pages: rendering, figures, sound and shared assets."""
