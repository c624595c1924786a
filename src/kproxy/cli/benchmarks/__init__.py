"""The commands below `kproxy bench`, one module each."""
