"""What a mount survives: its own death, want of everything, and clients that go wrong."""
