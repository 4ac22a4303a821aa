"""
JavaScript clients, in a browser and in Node: C{examples/web}.
"""
