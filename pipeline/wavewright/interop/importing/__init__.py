"""Other toolkits' checkpoints, recognised by their keys and written as ours."""
