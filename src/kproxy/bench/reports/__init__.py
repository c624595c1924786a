"""Results for people: Markdown, one HTML page, comparisons."""
