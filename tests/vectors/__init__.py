"""
Golden test vectors: JSON files for any implementation, see README.md.
"""
