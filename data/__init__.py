"""The lab's files, and in data/lab/ its helpers."""
