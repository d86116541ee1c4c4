"""Size of the report that several browser tests open."""

UTTERANCES, SECONDS = 6, 5.0
CONDITIONS, SYSTEMS = 2, 2
FAILED = 1
PLAYERS = UTTERANCES * (1 + CONDITIONS * SYSTEMS) - FAILED
