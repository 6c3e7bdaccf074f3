"""Files of prompts under one budget: read, plan, send, survive, write."""
