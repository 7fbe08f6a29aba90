"""Whom the focus serves: what the operator allows and denies, by user and by homeserver."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuestList:
    """A denial always counts. With anything allowed by name, nobody else is served."""

    allowed_servers: frozenset[str] = frozenset()
    allowed_users: frozenset[str] = frozenset()
    denied_servers: frozenset[str] = frozenset()
    denied_users: frozenset[str] = frozenset()

    def serves(self, user_id: str) -> bool:
        """`user_id` as the homeserver says."""
        server = user_id.partition(":")[2]
        if user_id in self.denied_users or server in self.denied_servers:
            return False
        if not self.allowed_servers and not self.allowed_users:
            return True
        return user_id in self.allowed_users or server in self.allowed_servers


EVERYBODY = GuestList()
