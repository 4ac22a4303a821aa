"""
Payloads of the built-in commands, as typed structs that server modules and client share.
"""
