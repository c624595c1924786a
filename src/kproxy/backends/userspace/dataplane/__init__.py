"""What a worker process does: accept, choose an endpoint, forward. Knows no Services, rules or API."""
