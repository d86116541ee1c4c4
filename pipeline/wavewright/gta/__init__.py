"""Ground-truth-aligned mels: made by an acoustic model, or read from other toolkits."""
