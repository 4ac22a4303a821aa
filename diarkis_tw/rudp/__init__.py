"""
Sans-IO reliable UDP: bytes, addresses and the time in; bytes and events out. No
Twisted, socket, clock or randomness; inside, time is an integer of microseconds.
"""
