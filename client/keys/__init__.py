"""Tickets, frames and media keys: pure."""
