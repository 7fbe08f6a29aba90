"""Everything that can end a conference, with the code a program sees and the command's exit code."""

from typing import Final

# Exit codes of `python -m client join`, by the kind of trouble.
EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_HOMESERVER: Final = 3  # unreachable, login refused, not in the room
EXIT_NO_CONFERENCE: Final = 4  # none is running, or nobody gave a ticket
EXIT_REFUSED: Final = 5  # the focus said no
EXIT_NO_MEDIA: Final = 6  # ICE, DTLS or the data channel did not come about, or died
EXIT_ENDED: Final = 7  # the focus ended the membership
EXIT_FILE: Final = 8  # a file cannot be read or written

_EXITS: Final = {
    "homeserver_unreachable": EXIT_HOMESERVER,
    "login_refused": EXIT_HOMESERVER,
    "homeserver_refused": EXIT_HOMESERVER,
    "room_unknown": EXIT_HOMESERVER,
    "room_not_encrypted": EXIT_HOMESERVER,
    "service_unreachable": EXIT_NO_MEDIA,
    "focus_absent": EXIT_REFUSED,
    "no_answer": EXIT_REFUSED,
    "no_conference": EXIT_NO_CONFERENCE,
    "no_ticket": EXIT_NO_CONFERENCE,
    "ice_failed": EXIT_NO_MEDIA,
    "dtls_failed": EXIT_NO_MEDIA,
    "channel_failed": EXIT_NO_MEDIA,
    "answer_unusable": EXIT_NO_MEDIA,
    "file_unusable": EXIT_FILE,
}


class Trouble(Exception):
    """`code` is one of docs/protocol.md section 3 or of _EXITS; `message` a sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    @property
    def exit_code(self) -> int:
        return _EXITS.get(self.code, EXIT_REFUSED)
