"""The clinic: commits, measures, localizes, alerts, reports and shows."""
