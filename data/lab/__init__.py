"""Helpers of the three scripts. The lesson can be read without them."""
