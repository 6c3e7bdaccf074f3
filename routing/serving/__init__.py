"""An endpoint for other programs: conversations in, answers out, each call paid the one way."""
