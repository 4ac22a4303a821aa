"""
diarkis_tw: an open realtime game server on Twisted.

Start at L{diarkis_tw.server} to write command handlers, at
L{diarkis_tw.client} to write a bot or a game client.
"""
