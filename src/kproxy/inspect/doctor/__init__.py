"""What is wrong with a node's Services: checks with evidence, cause and the command that fixes it."""
