"""
The endpoint API, health check and an application's own routes on twisted.web.
"""
