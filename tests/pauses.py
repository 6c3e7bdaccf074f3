"""Asks that do not wait before they try again."""


def no_pause(monkeypatch):
    """Have `ask` wait for nothing; return the list to which each wait is added, in seconds."""
    waits = []

    async def pause(_self, wanted):
        waits.append(wanted.seconds)

    monkeypatch.setattr("scrimp.routing.asking.hands.BlockingHands.pause", pause)
    return waits
