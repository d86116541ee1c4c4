"""Stage runner: recipes, plans, records, results on disk, and the processes of stages."""
