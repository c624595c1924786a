"""`kproxy diff`: what the kernel should hold, against what it holds."""
