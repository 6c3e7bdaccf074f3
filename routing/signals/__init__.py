"""What is told to other programs: alerts to a command or an address, spans and metrics to a collector."""
