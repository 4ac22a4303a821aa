"""
Benchmarks: C{python -m bench}; how to read them is in C{docs/performance.md}.
"""
