"""
Built-in commands, on core and mesh only.
"""
