"""
How nodes reach each other: the interface, and one implementation a file.
"""
