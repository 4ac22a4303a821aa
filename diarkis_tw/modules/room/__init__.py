"""
Rooms: users of one node who send each other messages and share properties.
"""
