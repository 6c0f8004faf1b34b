"""How mounts end, what they refuse, and what they survive."""
