"""
Commands, users and node state, blind to transports: Deferred yes, reactor no.
"""
