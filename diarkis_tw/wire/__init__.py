"""
Sans-IO codecs: bytes in, values out. No Twisted, socket, clock or randomness.
"""
