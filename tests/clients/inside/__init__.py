"""Scripts that run in the clients' environments, one for each."""
