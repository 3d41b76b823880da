"""Core jobs in worker processes, seen from the window as QObjects with signals.

Everything here connects signals to bound methods of QObjects only: a lambda, a partial or a plain function
connected to a signal of another thread would run in that thread.
"""
