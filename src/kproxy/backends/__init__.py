"""The proxy modes: each compiles the mode-free model (pure) and applies what changed."""
