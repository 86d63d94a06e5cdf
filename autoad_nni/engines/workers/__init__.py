"""Trials in other processes, of this machine or of a cluster; the searching process alone writes the journal.

A search and its workers talk through files in the run folder (`messages`): no sockets, and no pickle of ours. One
program (`worker`) is started in two ways (`starting`): as a child of this process, or as a job by submitit.
"""
