"""
Typed, validated settings with the Go doc's JSON keys.
"""
