"""Alerts, by what they watch over; names and severities in the manner of Kubernetes' own rules."""
