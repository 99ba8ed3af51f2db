"""The screener: which windows deserve a second look."""
