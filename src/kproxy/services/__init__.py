"""What a Service does, for whom: pure values in, values out. No I/O, no clock, nothing of ours imported."""
