"""A call's number, made as the server makes it (docs/protocol.md section 3)."""

from client.protocol.reference import reference


def test_the_number_of_a_call():
    assert reference("1732358400-abc") == "S6B-S3R"
