"""HTML report of a prepared corpus: charts, flags, clips and phones."""
