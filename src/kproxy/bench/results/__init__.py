"""What a benchmark found: samples with their units, where they were taken, and how far they can be trusted."""
