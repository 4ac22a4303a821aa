"""
Finding out the address by which clients reach this machine: one file per cloud.
"""
