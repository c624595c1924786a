"""`kproxy trace`: what happens to a packet, and why."""
