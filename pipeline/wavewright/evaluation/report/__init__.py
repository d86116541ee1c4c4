"""Report of an evaluation: rankings, verdicts, tables, charts and players."""
