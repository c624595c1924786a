"""A cluster that is there already, through its API, in a namespace of the benchmark's own."""
