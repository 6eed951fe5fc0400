"""Helpers of the lab, beside the files that they find, read and make."""
