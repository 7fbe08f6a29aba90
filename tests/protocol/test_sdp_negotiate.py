"""Roles, pairs, refusals and re-offers."""

import re

import pytest

from control.protocol.sdp import SdpError, parse_offer_untrusted
from control.protocol.sdp_negotiate import Agreement, ExtensionIds, Features, negotiate
from tests.protocol.sdp_offers import BROWSERS, NAMES, offer_text, without_video_slots

BASE = offer_text("chromium_offer")


def agree(
    text: str, previous: Agreement | None = None, features: Features | None = None, **purposes: str
) -> Agreement:
    metadata = {stream_id: {"purpose": purpose} for stream_id, purpose in purposes.items()}
    return negotiate(parse_offer_untrusted(text), metadata, features or Features(), previous)


def screen_stream(text: str) -> str:
    """The stream id of the last sending section, which is the screen's in the stored offers."""
    return re.findall(r"a=msid:(\S+)", text)[-1]


def agree_all(browser: str) -> list[Agreement]:
    features = Features(
        transport_cc_up=False, transport_cc_down=False
    )  # these offers follow answers that declined it
    first = agree(offer_text(f"{browser}_offer"), None, features)
    second = agree(offer_text(f"{browser}_more_slots"), first, features)
    text = offer_text(f"{browser}_screen_ice_restart")
    third = agree(text, second, features, **{screen_stream(text): "m.screenshare"})
    return [first, second, third]


# -- the first offer --


def test_chromium() -> None:
    agreement = agree(BASE)
    audio, camera = agreement.senders
    assert (audio.mid, audio.source, audio.codec, audio.payload_type, audio.clock_rate) == (
        "0",
        "audio",
        "opus",
        111,
        48000,
    )
    assert (camera.mid, camera.source, camera.codec, camera.payload_type, camera.clock_rate) == (
        "1", "camera", "vp8", 96, 90000,
    )  # fmt: skip
    assert audio.extension_ids == ExtensionIds(mid=4, audio_level=1, abs_send_time=2, transport_cc=3)
    assert camera.extension_ids == ExtensionIds(
        mid=4, rid=10, repaired_rid=11, abs_send_time=2, transport_cc=3, dependency_descriptor=12
    )
    assert (audio.rids, camera.rids) == ((), ("t", "m", "f"))
    assert audio.feedback == ("transport-cc",)
    assert camera.feedback == ("transport-cc", "goog-remb", "ccm fir", "nack pli", "nack")
    assert (audio.rtx_payload_type, camera.rtx_payload_type) == (None, 97)
    assert [(slot.mid, slot.kind, slot.pair) for slot in agreement.slots] == [
        ("2", "audio", 0), ("3", "video", 0), ("4", "audio", 1), ("5", "video", 1),
        ("6", "audio", 2), ("7", "video", 2), ("8", "audio", 3), ("9", "video", 3),
    ]  # fmt: skip
    assert agreement.slots[0].extension_ids == ExtensionIds(
        mid=4, audio_level=1, abs_send_time=2, transport_cc=3
    )
    assert agreement.slots[1].extension_ids == ExtensionIds(mid=4, abs_send_time=2, transport_cc=3)
    assert (agreement.data.mid, agreement.data.sctp_port, agreement.data.max_message_size) == (
        "10",
        5000,
        262144,
    )
    assert (agreement.rejected, agreement.idle, agreement.ice_restart, agreement.revision) == (
        (),
        (),
        False,
        1,
    )


def test_firefox() -> None:
    audio, camera = agree(offer_text("firefox_offer")).senders
    assert (audio.payload_type, camera.payload_type) == (109, 120)
    assert audio.extension_ids == ExtensionIds(mid=3, audio_level=1, transport_cc=7)
    assert camera.extension_ids == ExtensionIds(
        mid=3, rid=9, repaired_rid=10, abs_send_time=4, transport_cc=7, dependency_descriptor=8
    )


def test_features_only_flip_what_was_offered() -> None:
    agreement = agree(BASE)
    audio, camera = agreement.senders
    assert (audio.extension_ids.transport_cc, camera.extension_ids.transport_cc) == (3, 3)
    assert (audio.feedback, audio.rtx_payload_type) == (("transport-cc",), None)
    assert camera.feedback == ("transport-cc", "goog-remb", "ccm fir", "nack pli", "nack")
    assert (camera.rtx_payload_type, agreement.slots[1].rtx_payload_type) == (97, 97)
    assert {slot.extension_ids.transport_cc for slot in agreement.slots} == {3}
    assert all("transport-cc" in slot.feedback for slot in agreement.slots)
    unnumbered = agree(BASE, features=Features(transport_cc_down=False))
    assert {slot.extension_ids.transport_cc for slot in unnumbered.slots} == {None}
    assert "transport-cc" not in {each for slot in unnumbered.slots for each in slot.feedback}
    assert unnumbered.senders == agreement.senders
    without = BASE.replace("a=rtcp-fb:96 nack\r\n", "").replace("a=rtcp-fb:96 transport-cc\r\n", "")
    camera = agree(without, features=Features(transport_cc_up=True, nack_rtx=True)).senders[1]
    assert (camera.rtx_payload_type, camera.extension_ids.transport_cc) == (None, None)
    camera = agree(BASE.replace(" apt=96", " apt=95")).senders[1]
    assert "nack" not in camera.feedback, "without RTX a NACK is answered with nothing"
    plain = agree(BASE, features=Features(transport_cc_up=False)).senders
    assert [sender.extension_ids.transport_cc for sender in plain] == [None, None]
    assert "transport-cc" not in plain[0].feedback + plain[1].feedback
    camera = agree(BASE, features=Features(nack_rtx=False)).senders[1]
    assert (camera.rtx_payload_type, "nack" in camera.feedback) == (None, False)


def test_audio_may_be_asked_for_again_where_the_offer_says_so() -> None:
    number = agree(BASE).senders[0].payload_type
    asking = BASE.replace("useinbandfec=1\r\n", f"useinbandfec=1\r\na=rtcp-fb:{number} nack\r\n")
    assert asking != BASE
    agreement = agree(asking)
    assert agreement.senders[0].feedback == ("transport-cc", "nack")
    assert {slot.feedback for slot in agreement.slots if slot.kind == "audio"} == {("transport-cc", "nack")}
    without = agree(asking, features=Features(nack_audio=False))
    assert without == agree(BASE)


def test_the_codec_is_found_among_many() -> None:
    for browser, numbers in (("chromium", (111, 96)), ("firefox", (109, 120))):
        agreement = agree(offer_text(f"{browser}_all_codecs"))
        assert tuple(sender.payload_type for sender in agreement.senders) == numbers
        assert {(slot.kind, slot.payload_type) for slot in agreement.slots} == {
            ("audio", numbers[0]), ("video", numbers[1]),
        }  # fmt: skip


def test_pairs_count_each_kind_for_itself() -> None:
    """The i-th audio slot and the i-th video slot are a pair, wherever they stand."""
    head, *sections = re.split(r"(?=m=)", BASE)
    audio = [section for section in sections if section.startswith("m=audio")]
    video = [section for section in sections if section.startswith("m=video")]
    data = sections[-1:]
    for order in (data + audio + video, video + audio + data, video[::-1] + data + audio[::-1]):
        agreement = agree(head + "".join(order))
        for kind in ("audio", "video"):
            assert [slot.pair for slot in agreement.slots if slot.kind == kind] == [0, 1, 2, 3]
        assert [sender.source for sender in agreement.senders if sender.rids] == ["camera"]


def test_audio_without_video_is_for_the_loudest() -> None:
    def pairs(agreement: Agreement, kind: str) -> list[int | None]:
        return [slot.pair for slot in agreement.slots if slot.kind == kind]

    first = agree(without_video_slots(BASE, 2))
    assert (pairs(first, "audio"), pairs(first, "video")) == ([0, 1, None, None], [0, 1])
    # Later slots form pairs among themselves; what is a loudest slot stays one.
    second = agree(BASE, first)
    assert (pairs(second, "audio"), pairs(second, "video")) == ([0, 1, None, None], [0, 1, 2, 3])
    listening = agree(without_video_slots(BASE, 4))
    assert (pairs(listening, "audio"), pairs(listening, "video")) == ([None] * 4, [])


def test_purpose_decides_the_source() -> None:
    text = offer_text("chromium_screen_ice_restart")
    streams = re.findall(r"a=msid:(\S+)", text)
    rows = [
        ({}, ["audio", "camera"]),
        ({streams[0]: "m.usermedia"}, ["audio", "camera"]),
        ({streams[0]: "m.screenshare"}, ["screen_audio", "screen"]),
        ({streams[0]: "something new"}, ["audio", "camera"]),
        ({"another stream": "m.screenshare"}, ["audio", "camera"]),
    ]
    for purposes, expected in rows:
        assert [
            sender.source
            for sender in agree(
                BASE.replace(re.findall(r"a=msid:(\S+)", BASE)[0], streams[0]), **purposes
            ).senders
        ] == expected


@pytest.mark.parametrize("metadata", [{"x": 1}, {"x": {}}, {"x": {"purpose": 3}}, {"x": None}])
def test_odd_metadata_is_no_metadata(metadata: dict[str, object]) -> None:
    text = BASE.replace(re.findall(r"a=msid:(\S+)", BASE)[0], "x")
    assert [each.source for each in negotiate(parse_offer_untrusted(text), metadata, Features()).senders] == [
        "audio", "camera",
    ]  # fmt: skip


def test_a_slot_without_our_codec_is_rejected_alone() -> None:
    head, *sections = re.split(r"(?=m=)", BASE)
    sections[3] = sections[3].replace("VP8/90000", "H264/90000")
    agreement = agree(head + "".join(sections))
    assert agreement.rejected == (3,)
    assert [(slot.mid, slot.pair) for slot in agreement.slots if slot.kind == "video"] == [
        ("5", 0),
        ("7", 1),
        ("9", 2),
    ]


def test_what_is_neither_media_nor_our_data_channel_is_rejected() -> None:
    more = "a=rtcp-mux\r\na=setup:actpass\r\n"
    text = BASE.replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 x y z") + (
        f"m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:x\r\n{more}"
        f"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:y\r\n{more}"
        f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:z\r\na=recvonly\r\n{more}"
    )
    assert agree(text).rejected == (11, 12, 13)


# -- refusals --


def section(text: str, index: int, old: str, new: str) -> str:
    """Replace in one section only."""
    head, *sections = re.split(r"(?=m=)", text)
    assert old in sections[index]
    sections[index] = sections[index].replace(old, new)
    return head + "".join(sections)


FINGERPRINT = re.search(r"a=fingerprint:sha-256 (\S+)\r\n", BASE)
assert FINGERPRINT is not None
STREAM = re.findall(r"a=msid:(\S+)", BASE)[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BASE.replace("a=group:BUNDLE", "a=group:LS"), "no BUNDLE group"),
        (BASE.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1\r\na=group:BUNDLE"), "several BUNDLE groups"),
        (BASE.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1"), "outside the BUNDLE group"),
        (section(BASE, 1, "a=rtcp-mux\r\n", ""), "no a=rtcp-mux"),
        (BASE.replace(FINGERPRINT[0], ""), "no a=fingerprint"),
        (BASE.replace(FINGERPRINT[0], f"a=fingerprint:sha-1 {FINGERPRINT[1][:59]}\r\n"), "too weak"),
        (section(BASE, 2, FINGERPRINT[1], "00:" * 31 + "00"), "another fingerprint"),
        (BASE.replace("a=setup:actpass", "a=setup:passive"), "must be the DTLS server"),
        (BASE.replace("a=setup:actpass", "a=setup:holdconn"), "must be the DTLS server"),
        (BASE.replace("a=setup:actpass\r\n", ""), "no a=setup"),
        (section(BASE, 4, "a=setup:actpass", "a=setup:active"), "another DTLS role"),
        (section(BASE, 4, "a=ice-ufrag:", "a=ice-ufrag:x"), "other ICE credentials"),
        (section(BASE, 4, "a=ice-pwd:", "a=ice-pwd:x"), "other ICE credentials"),
        (section(BASE, 0, "a=rtcp-mux", "a=rtcp-mux\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"), "SDES"),
        (section(BASE, 0, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), "not DTLS-SRTP"),
        (
            section(BASE, 0, "a=rtcp-mux", "a=rtcp-mux\r\na=ssrc:1 msid:a b\r\na=ssrc:2 msid:a c"),
            r"plan B",
        ),
        (section(BASE, 3, "a=extmap:2 ", "a=extmap:1 "), "two ids"),
        (
            section(BASE, 3, "a=extmap:4 urn:", "a=extmap:4 urn:x"),
            "id 4 has two meanings",
        ),
        (
            section(BASE, 3, "a=extmap:4 urn", "a=extmap:8 urn").replace(
                "a=extmap:8 http", "a=extmap:19 http"
            ),
            "two ids",
        ),
        (section(BASE, 1, "VP8/90000", "AV1/90000"), "sends video without vp8"),
        (section(BASE, 0, "opus/48000", "PCMU/8000"), "sends audio without opus"),
        (
            re.sub(r"a=ssrc:.*\r\n", "", section(BASE, 0, "a=extmap:4 ", "a=extmap:20 urn:x-")),
            "no mid header extension and names no SSRC",
        ),
        # Named SSRCs do not say which encoding each is of.
        (
            section(BASE, 1, "a=extmap:4 ", "a=extmap:20 urn:x-").replace(
                "a=rid:t ", "a=ssrc:11 cname:c\r\na=rid:t "
            ),
            "no mid header extension and names no SSRC",
        ),
        (section(BASE, 1, "a=extmap:10 ", "a=extmap:20 urn:x-"), "lacks the rid"),
        (BASE.replace("a=rid:t ", "a=rid:q ").replace("send t;", "send q;"), "not t, m, f"),
        (BASE.replace("send t;~m;~f", "send f;~m;~t"), "not t, m, f"),
        (section(BASE, 2, "a=recvonly", "a=sendonly"), "Two sections send the source audio"),
        (BASE.replace("webrtc-datachannel", "something"), "no data channel"),
        (re.sub(r"\b111\b", "96", section(BASE, 0, "111", "96")), "Payload type 96 has two meanings"),
        (BASE.replace(" 96", " 70").replace(":96", ":70"), "without vp8"),
    ],
)
def test_refusals_name_their_cause(text: str, sentence: str) -> None:
    with pytest.raises(SdpError, match=sentence) as refusal:
        agree(text)
    assert refusal.value.code == "sdp_unsupported"


def test_more_pairs_than_the_limit() -> None:
    head, *sections = re.split(r"(?=m=)", BASE)
    slots = [sections[2 + n % 2] for n in range(34)]
    slots = [re.sub(r"a=mid:\d", f"a=mid:s{n}", slot) for n, slot in enumerate(slots)]
    bundle = " ".join(["0", "1", "10", *(f"s{n}" for n in range(34))])
    text = re.sub(r"a=group:BUNDLE.*", f"a=group:BUNDLE {bundle}\r", head)
    agree(text.replace(" s32 s33", "") + "".join([*sections[:2], *slots[:32], sections[-1]]))
    with pytest.raises(SdpError, match="More than 16"):
        agree(text + "".join([*sections[:2], *slots, sections[-1]]))


# -- re-offers --


@pytest.mark.parametrize("browser", BROWSERS)
def test_more_slots_keep_the_earlier_ones(browser: str) -> None:
    first, second, third = agree_all(browser)
    assert first.senders == second.senders
    assert [slot for slot in second.slots if slot in first.slots] == list(first.slots)
    assert [(slot.kind, slot.pair) for slot in second.slots] == [
        (kind, pair) for pair in range(8) for kind in ("audio", "video")
    ]
    assert second.slots == third.slots
    assert [sender.source for sender in third.senders] == ["audio", "camera", "screen"]
    assert [each.ice_restart for each in (first, second, third)] == [False, False, True]
    assert [each.revision for each in (first, second, third)] == [1, 2, 3]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_offer_again_changes_nothing(name: str) -> None:
    text = offer_text(name)
    purposes = {screen_stream(text): "m.screenshare"} if "screen" in name else {}
    first = agree(text, **purposes)
    again = agree(text, first, **purposes)
    assert (again.senders, again.slots, again.data, again.mids) == (
        first.senders,
        first.slots,
        first.data,
        first.mids,
    )
    assert not again.ice_restart


def test_the_source_stays_when_metadata_is_left_out() -> None:
    text = offer_text("chromium_screen_ice_restart")
    first = agree(text, **{screen_stream(text): "m.screenshare"})
    assert [sender.source for sender in agree(text, first).senders] == ["audio", "camera", "screen"]


def test_a_section_may_pause_and_close_and_its_pair_be_given_again() -> None:
    first = agree(BASE)
    paused = agree(section(BASE, 5, "a=recvonly", "a=inactive"), first)
    assert [slot.pair for slot in paused.slots if not slot.active] == [1]
    assert [
        sender.active for sender in agree(section(BASE, 1, "a=sendonly", "a=inactive"), first).senders
    ] == [True, False]
    # The camera and the second video slot close, and their places are used for new things.
    closed = section(section(BASE, 5, "m=video 9", "m=video 0"), 1, "m=video 9", "m=video 0")
    closed = closed.replace("BUNDLE 0 1 2 3 4 5", "BUNDLE 0 2 3 4")
    second = agree(closed, first)
    assert (second.rejected, [sender.source for sender in second.senders]) == ((1, 5), ["audio"])
    reused = section(section(BASE, 5, "a=mid:5", "a=mid:11"), 1, "a=mid:1\r", "a=mid:12\r")
    third = agree(reused.replace("BUNDLE 0 1 2 3 4 5", "BUNDLE 0 12 2 3 4 11"), second)
    assert [sender.mid for sender in third.senders] == ["0", "12"]
    assert [(slot.mid, slot.pair) for slot in third.slots if slot.kind == "video"] == [
        ("3", 0), ("11", 1), ("7", 2), ("9", 3),
    ]  # fmt: skip


def test_a_section_that_sends_nothing_may_leave_its_layers_out_and_name_them_again() -> None:
    """As Firefox does when a screen is not shared any more."""
    first = agree(BASE)
    paused = section(BASE, 1, "a=sendonly", "a=inactive")
    paused = re.sub(r"a=(rid:[tmf] send|simulcast:).*\r\n", "", paused)
    assert "simulcast" not in paused
    second = agree(paused, first)
    assert (second.senders[1].active, second.senders[1].rids) == (False, ("t", "m", "f"))
    third = agree(BASE, second)
    assert (third.senders[1].active, third.senders[1].rids) == (True, ("t", "m", "f"))
    with pytest.raises(SdpError, match="changes its simulcast layers"):
        agree(re.sub(r"a=(rid:[tmf] send|simulcast:).*\r\n", "", BASE), first)


def test_an_inactive_section_waits_for_its_role() -> None:
    first = agree(section(BASE, 9, "a=recvonly", "a=inactive"))
    assert first.idle == ("9",)
    second = agree(BASE, first)
    assert (second.idle, second.slots[-1].mid, second.slots[-1].pair) == ((), "9", 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (section(BASE, 2, "a=recvonly", "a=sendonly"), "was a receive slot"),
        (section(BASE, 3, "VP8/90000", "H264/90000"), "was a receive slot"),
        (section(BASE, 0, "a=sendonly", "a=recvonly"), "sent the source audio"),
        (section(BASE, 1, "a=mid:1\r", "a=mid:x\r").replace("BUNDLE 0 1 ", "BUNDLE 0 x "), "another a=mid"),
        (
            BASE.replace("a=simulcast:send t;~m;~f\r\n", "").replace("a=rid:f send\r\n", ""),
            "changes its simulcast",
        ),
        (BASE.replace(FINGERPRINT[1], "00:" * 31 + "00"), "another fingerprint"),
        (BASE.split("m=application")[0].replace(" 10\r\n", "\r\n"), "fewer sections"),
    ],
)
def test_a_re_offer_may_not_change_roles(text: str, sentence: str) -> None:
    first = agree(BASE)
    with pytest.raises(SdpError, match=sentence):
        agree(text, first)


def test_metadata_may_not_change_a_source() -> None:
    first = agree(BASE)
    with pytest.raises(SdpError, match="cannot become another"):
        agree(BASE, first, **{STREAM: "m.screenshare"})
    assert agree(BASE, first, **{STREAM: "m.usermedia"}).senders == first.senders


@pytest.mark.parametrize(
    ("lines", "declared"),
    [
        ([], None),
        (["a=ssrc:7 cname:x"], (7, 0)),
        (["a=ssrc:0 cname:x"], None),
        (["a=ssrc-group:FID 7 8", "a=ssrc:7 cname:x", "a=ssrc:8 cname:x"], (7, 8)),
        (["a=ssrc-group:FID 7 8"], (7, 8)),
        (["a=ssrc-group:FID 7 7", "a=ssrc:7 cname:x"], (7, 0)),
        (["a=ssrc-group:FID 7 0", "a=ssrc:7 cname:x"], (7, 0)),
        (["a=ssrc-group:FEC-FR 7 8", "a=ssrc:7 cname:x", "a=ssrc:8 cname:x"], None),
        (["a=ssrc-group:FID 7 8", "a=ssrc-group:FID 9 10"], None),
        (["a=ssrc-group:FID 7 8", "a=ssrc:9 cname:x"], None),
        (["a=ssrc:7 cname:x", "a=ssrc:8 cname:x"], None),
    ],
)
def test_one_encoding_is_known_by_its_ssrc(lines: list[str], declared: tuple[int, int] | None) -> None:
    """Also where the offer has no mid header extension; without either it is refused."""
    plain = re.sub(r"a=(simulcast|rid|extmap:10|extmap:11)\b.*\r\n", "", BASE)
    plain = section(plain, 1, "a=rtcp-mux\r\n", "".join(f"{line}\r\n" for line in ["a=rtcp-mux", *lines]))
    assert agree(plain).senders[1].declared == declared
    simulcast = section(BASE, 1, "a=rtcp-mux\r\n", "".join(f"{line}\r\n" for line in ["a=rtcp-mux", *lines]))
    assert agree(simulcast).senders[1].declared is None
    without_mid = re.sub(r"a=extmap:\d+ urn:ietf:params:rtp-hdrext:sdes:mid\r\n", "", plain)
    if declared is None:
        with pytest.raises(SdpError, match="names no SSRC"):
            agree(without_mid)
    else:
        video = agree(without_mid).senders[1]
        assert video.declared == declared
        assert video.extension_ids.mid is None


def test_two_sections_name_two_ssrcs() -> None:
    audio = re.search(r"a=ssrc:(\d+) ", BASE)
    assert audio is not None
    plain = re.sub(r"a=(simulcast|rid|extmap:10|extmap:11)\b.*\r\n", "", BASE)
    with pytest.raises(SdpError, match="Two sections name one SSRC"):
        agree(section(plain, 1, "a=rtcp-mux\r\n", f"a=rtcp-mux\r\na=ssrc:{audio[1]} cname:x\r\n"))
