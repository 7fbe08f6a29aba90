"""Olm to-device messages of our own types, which matrix-nio 0.26 neither sends nor delivers.

It decrypts them and drops every type it does not know; there the ratchet has moved on, so nobody can decrypt
them again. The one private method that decides this is overridden; sending goes through the one that
encrypts.
"""

import logging
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError
from nio import AsyncClient, ToDeviceError, ToDeviceEvent
from nio.crypto import Olm
from nio.event_builders import ToDeviceMessage

from client.keys.exchange import Device

log = logging.getLogger(__name__)

_NIOS_OWN = frozenset({"m.room_key", "m.forwarded_room_key", "m.dummy"})


@dataclass
class OlmMessage(ToDeviceEvent):  # type: ignore[misc]
    """A decrypted one. `sender_key` and `signing_key` belong to the device that sent it."""

    type: str
    content: dict[str, Any]
    sender_key: str
    signing_key: str


class _CallOlm(Olm):  # type: ignore[misc]
    def _handle_olm_event(self, sender: str, sender_key: str, payload: dict[str, Any]) -> Any:
        if payload["type"] in _NIOS_OWN:
            return super()._handle_olm_event(sender, sender_key, payload)
        content = payload.get("content")
        return OlmMessage(
            payload,
            sender,
            payload["type"],
            content if isinstance(content, dict) else {},
            sender_key,
            payload["keys"]["ed25519"],
        )


def use_own_types(client: AsyncClient) -> None:
    """After login, before the first sync."""
    client.olm = _CallOlm(client.user_id, client.device_id, client.store)


def proved_device(client: AsyncClient, sender: str, sender_key: str, signing_key: str) -> Device | None:
    """The device whose two keys these are; None when it is not known (yet: the caller queries and asks
    again)."""
    device = client.olm.device_store.device_from_sender_key(sender, sender_key)
    if device is None or device.ed25519 != signing_key:
        return None
    return Device(sender, device.id)


async def learn_devices(client: AsyncClient, user_id: str) -> None:
    """Looks the person's devices up; a device that matrix-nio cannot take stays unknown."""
    client.olm.users_for_key_query.add(user_id)
    try:
        await client.keys_query()
    except (ClientError, TimeoutError, OSError) as error:
        log.info("devices could not be looked up: %s", type(error).__name__)
    except Exception as error:  # somebody else's query was faster, or a device's keys are none
        log.info("devices were not learnt: %s", type(error).__name__)


async def send_olm(client: AsyncClient, device: Device, message_type: str, content: dict[str, Any]) -> bool:
    """False when the device has no keys to encrypt for, or the homeserver did not take it."""
    known = client.olm.device_store[device.user_id].get(device.device_id)
    # It may have come since the last look.
    if known is None:
        await learn_devices(client, device.user_id)
        known = client.olm.device_store[device.user_id].get(device.device_id)
        if known is None:
            return False
    session = client.olm.session_store.get(known.curve25519)
    if session is None:
        await client.keys_claim({device.user_id: [device.device_id]})
        session = client.olm.session_store.get(known.curve25519)
        if session is None:
            return False
    sealed = client.olm._olm_encrypt(session, known, message_type, content)
    message = ToDeviceMessage("m.room.encrypted", device.user_id, device.device_id, sealed)
    answer = await client.to_device(message)
    return not isinstance(answer, ToDeviceError)
