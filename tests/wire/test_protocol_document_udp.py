"""
The UDP sections of C{docs/protocol.md} against the constants.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import keep_alive, udp, udp_handshake, udp_probe
from diarkis_tw.config.settings import UdpSettings
from diarkis_tw.rudp import (
    channel,
    congestion,
    connection,
    cookie,
    outgoing,
    received,
    redundancy,
    reset_token,
    rtt,
    sent,
)
from diarkis_tw.transports import udp as udp_server
from diarkis_tw.transports import udp_connection, udp_path
from diarkis_tw.transports import udp_handshake as udp_server_handshake
from diarkis_tw.wire import datagram, datagram_handshake, frame, packet, reset
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.handshake import HMAC_SIZE, RESET_TOKEN_SIZE, TERMS_SIZE
from tests.wire.protocol_document import load, prose, rows, section, table


def duration(microseconds: int) -> str:
    """
    Write microseconds as the document does.
    """
    return f"{microseconds / 1_000_000:g} s"


def owes_ack(plaintext: bytes) -> bool:
    """
    Whether a server owes an ACK for a packet of these frames, and nothing else.
    """
    cipher = Cipher(bytes(16), bytes(12), True, AeadCache())
    cid = bytes(8)
    server = connection.Connection(
        connection.Limits(), cid, False, cipher, cipher, channel.ReassemblyBudget(1 << 20), 0
    )
    header = bytes((packet.DATA_BYTE,)) + cid + bytes(2)
    assert server.receive(header + cipher.seal(0, header, plaintext), 0)
    return server.deadline() is not None


class UdpTableTests(SynchronousTestCase):
    """
    Numbers and layouts that the document repeats for UDP.
    """

    def test_datagramsDiffer(self) -> None:
        """
        The table of datagrams is that of the code.
        """
        data = packet.DATA_BYTE
        self.assertEqual(
            [
                (int(byte, 16), name, direction, size)
                for byte, name, direction, size in table(section("UDP"), "first byte")
            ],
            [
                (datagram.HELLO_BYTE, "HELLO", "c2s", str(datagram.HELLO_SIZE)),
                (datagram.COOKIE_BYTE, "COOKIE", "s2c", str(datagram.COOKIE_SIZE)),
                (datagram.ACCEPT_BYTE, "ACCEPT", "s2c", str(datagram.ACCEPT_SIZE)),
                (datagram.TERMINATE_BYTE, "TERMINATE", "s2c", str(datagram.TERMINATE_SIZE)),
                (data, "DATA", "c2s", f"{packet.CLIENT_DATA_MIN} to the MTU"),
                (data, "DATA", "s2c", f"{packet.SERVER_DATA_MIN} to the MTU"),
                (data, "RESET", "s2c", f"{reset.RESET_SIZE_MIN} to {reset.RESET_SIZE_MAX}"),
            ],
        )

    def test_layoutsDiffer(self) -> None:
        """
        The fields of each datagram add up to its size, and its first byte is its own.
        """
        layouts = re.findall(
            r"^(\w+):\n\n\| field \| size \| \|\n\|[-|]+\n((?:\|.*\n)+)",
            section("The handshake"),
            re.M,
        )
        sizes = {
            name: sum(int(size) for cells in rows(fields) for size in cells[1].split(" + "))
            for name, fields in layouts
        }
        self.assertEqual(
            sizes,
            {
                "HELLO": datagram.HELLO_SIZE,
                "COOKIE": datagram.COOKIE_SIZE,
                "ACCEPT": datagram.ACCEPT_SIZE,
                "TERMINATE": datagram.TERMINATE_SIZE,
            },
        )
        self.assertEqual(
            [int(rows(fields)[0][0], 16) for _, fields in layouts],
            [
                datagram.HELLO_BYTE,
                datagram.COOKIE_BYTE,
                datagram.ACCEPT_BYTE,
                datagram.TERMINATE_BYTE,
            ],
        )

    def test_dataLayoutDiffers(self) -> None:
        """
        The fields of DATA and RESET add up to their sizes.
        """
        least = packet.CLIENT_DATA_MIN - packet.CLIENT_HEADER_SIZE - TAG_SIZE
        self.assertEqual(
            [cells[:3] for cells in table(section("DATA"), "field")],
            [
                [f"{packet.DATA_BYTE:#x}", "1", "1"],
                ["cid", str(packet.CLIENT_HEADER_SIZE - 3), ""],
                ["pn", "2", str(packet.SERVER_HEADER_SIZE - 1)],
                ["frames", f"at least {least}", "at least 0"],
                ["tag", str(TAG_SIZE), str(TAG_SIZE)],
            ],
        )
        self.assertEqual(
            [
                cells[:2]
                for cells in table(section("RESET, and a server that was restarted"), "field")
            ],
            [
                [f"{packet.DATA_BYTE:#x}", "1"],
                ["random", f"{reset.RESET_RANDOM_MIN} to {reset.RESET_RANDOM_MAX}"],
                ["reset token", str(RESET_TOKEN_SIZE)],
            ],
        )

    def test_restoringDiffers(self) -> None:
        """
        The formula for packet numbers, as it stands in the text, gives those of the vectors.
        """
        down, up = re.findall(r"if (number .*?): +(number .= \d+)$", section("DATA"), re.M)
        for case in load("packet-numbers.json")["cases"]:
            expected = case["largest"] + 1
            names = {"expected": expected, "number": expected - expected % 65536 + case["pn"]}
            for condition, change in (down, up):
                # our own document, and the point is what it says
                if eval(condition, {}, names):
                    exec(change, {}, names)
                    break
            self.assertEqual(names["number"], case["packet_number"])

    def test_restoredDiffers(self) -> None:
        """
        The packet numbers restored from 16 bits are those of the vectors.
        """
        cases = {
            (case["largest"], case["pn"]): case["packet_number"]
            for case in load("packet-numbers.json")["cases"]
        }
        found = table(section("DATA"), "largest so far")
        self.assertGreater(len(found), 3)
        for cells in found:
            largest, pn, number = map(int, cells)
            self.assertEqual(cases[largest, pn], number)

    def test_framesDiffer(self) -> None:
        """
        The table of frames is that of the code, and so are the bits of RELIABLE.
        """
        text = section("Frames")
        found = table(text, "type")
        self.assertEqual(
            [(int(cells[0][:4], 16), cells[1]) for cells in found],
            [
                (frame.PADDING, "PADDING"),
                (frame.PING, "PING"),
                (frame.ACK, "ACK"),
                (frame.CLOSE, "CLOSE"),
                (frame.PATH_CHALLENGE, "PATH_CHALLENGE"),
                (frame.PATH_RESPONSE, "PATH_RESPONSE"),
                (frame.MESSAGE, "MESSAGE"),
                (frame.MESSAGE_WITH_LENGTH, "MESSAGE"),
                (frame.RELIABLE, "RELIABLE"),
            ],
        )
        self.assertEqual(
            [int(cells[0], 16) for cells in table(text, "bits")],
            [frame.HAS_LENGTH, frame.FIRST, frame.LAST, frame.CHANNEL_MASK],
        )
        self.assertIn(f"at most {frame.ACK_BYTES_MAX})", found[2][2])

    def test_elicitingDiffers(self) -> None:
        """
        The frames that ask for an ACK are those after which a connection owes one.
        """
        asking = {cells[1] for cells in table(section("Frames"), "type") if cells[3] == "yes"}
        examples = {
            "PADDING": bytes((frame.PADDING,)),
            "PING": bytes((frame.PING,)),
            "PATH_CHALLENGE": bytes((frame.PATH_CHALLENGE,)) + bytes(8),
            "PATH_RESPONSE": bytes((frame.PATH_RESPONSE,)) + bytes(8),
            "MESSAGE": bytes((frame.MESSAGE,)),
            "RELIABLE": frame.reliable_header(0, 0, True, True),
        }
        self.assertEqual(
            asking, {name for name, plaintext in examples.items() if owes_ack(plaintext)}
        )

    def test_limitsDiffer(self) -> None:
        """
        The limits of UDP are the constants and the defaults of the configuration.
        """
        settings = UdpSettings()
        handshake = udp_server_handshake
        payload = handshake.MTU - outgoing.FRAME_ROOM
        (found,) = re.findall(r"On UDP also:\n\n(.*?)\n\n", section("Limits"), re.S)
        self.assertEqual(
            dict(table(found + "\n", "what")),
            {
                "MTU": f"{handshake.MTU} bytes; {datagram.MTU_MIN} to {datagram.MTU_MAX}",
                "window of a channel": f"{connection.Limits().window} frames; "
                f"{datagram_handshake.WINDOW_MIN} to {datagram_handshake.WINDOW_MAX}",
                "packets in flight": f"{sent.IN_FLIGHT_MOST}",
                "payload of a reliable message": f"{settings.max_message_size} bytes "
                "(`maxMessageSize`)",
                "payload of an unreliable message": f"{payload} bytes",
                "replay window": f"{received.REPLAY_WINDOW} packets",
                "packet numbers of one direction": "2^28 - 4096",
                "life of a cookie": duration(cookie.COOKIE_LIFE * 1000),
                "pending connections of a node": f"{handshake.PENDING_MOST}, "
                f"for {duration(handshake.PENDING_LIFE)} each",
                "ack delay": f"{handshake.ACK_DELAY_MOST} ms",
                "retry interval": f"{settings.retry_interval} ms (`retryInterval`)",
                "max retry": f"{settings.max_retry} (`maxRetry`)",
                "RESETs per second": f"{reset_token.RESETS_PER_SOURCE} to an IP address, "
                f"{reset_token.RESETS_PER_NODE} of a node",
                "waiting in one connection": f"{outgoing.QUEUE_FRAMES} frames, "
                f"{outgoing.QUEUE_BYTES} bytes",
                "incomplete and early messages of a node": f"{udp_server.REASSEMBLY_MOST} bytes",
                "moves to another address": f"1 in {duration(udp_path.MOVE_INTERVAL)}, "
                f"{udp_path.MOVES_PER_MINUTE} in {duration(udp_path.MINUTE)}",
                "answers after the end": f"for {duration(udp_server.TOMBSTONE_LIFE)}, "
                f"each {duration(udp_server.TOMBSTONE_INTERVAL)}",
                "waiting for reliable messages at the end": duration(udp_connection.LEAVE_TIME),
            },
        )
        self.assertEqual(DATAGRAM_NUMBER_LIMIT, 2**28 - 4096)

    def test_handshakeTextDiffers(self) -> None:
        """
        What the text says about handshake, probe and ending is what the code does.
        """
        text = prose("UDP")
        pauses = [duration(pause)[:-2] for pause in udp_handshake.PAUSES]
        self.assertIn(f"begins anew: {', '.join([*pauses, pauses[-1]])}, ... s", text)
        for words in (
            f"again {pauses[0]} s after that, {pauses[1]} s after that, and then each second",
            f"After {udp.HANDSHAKE_TIMEOUT:g} s altogether it gives up",
            f"(an MTU outside of {datagram.MTU_MIN} to {datagram.MTU_MAX}, a window outside of "
            f"{datagram_handshake.WINDOW_MIN} to {datagram_handshake.WINDOW_MAX}, or",
            f"(`hello`, the {datagram.HELLO_SIZE - HMAC_SIZE} bytes before)",
            f"associated data: the {datagram.ACCEPT_SIZE - TERMS_SIZE - TAG_SIZE} bytes before",
            f"one that is older than {duration(cookie.COOKIE_LIFE * 1000)},",
            f"accepted in the last {duration(udp_server_handshake.PENDING_LIFE)} ",
            f"| {udp_server_handshake.PENDING_MOST} connections pending",
            f"gets {datagram.COOKIE_SIZE} bytes for {datagram.HELLO_SIZE}",
            f"forgotten after {duration(udp_server_handshake.PENDING_LIFE)}",
            f"the datagram to {packet.CLIENT_DATA_MIN}, with PADDING",
            f"{udp_path.MOVES_PER_MINUTE} times a minute",
            f"waits up to {duration(udp_connection.LEAVE_TIME)} before it says",
            f"its last datagram for {duration(udp_server.TOMBSTONE_LIFE)} and",
            f"at most each {duration(udp_server.TOMBSTONE_INTERVAL)} and",
            "used up before packet number 2^28 - 4096;",
            f"lies {received.REPLAY_WINDOW} or more below",
            f"If after {duration(udp_probe.DOUBT)} nothing authentic",
            f"A datagram of {reset.RESET_SIZE_MIN} to {reset.RESET_SIZE_MAX} bytes",
            f"has at least {packet.SERVER_DATA_MIN} bytes",
            f"at most {reset_token.RESETS_PER_SOURCE} RESETs a second to one IP address, "
            f"and {reset_token.RESETS_PER_NODE} altogether",
            f"is sent up to {connection.CLOSES} times",
            f"this implementation at 2^28 - {2**28 - connection.NUMBER_LAST})",
        ):
            self.assertIn(words, text)
        self.assertEqual(udp_probe.HELLO_INTERVAL, 1_000_000)
        self.assertEqual(udp_path.TIMEOUTS, 3)
        self.assertIn(f"not before {keep_alive.REPEAT_MIN * 1000:g} ms", prose("Built-in commands"))

    def test_reliableTextDiffers(self) -> None:
        """
        The numbers in the text about reliable UDP are the constants.
        """
        text = prose("Reliable UDP")
        mebibyte = 1 << 20
        for words in (
            f"Each of the {frame.CHANNELS} channels",
            f"to the MTU - {outgoing.FRAME_ROOM}, "
            f"that is {udp_server_handshake.MTU - outgoing.FRAME_ROOM} bytes",
            f"({UdpSettings().max_message_size // 1024} KiB by default",
            f"({udp_server_handshake.ACK_DELAY_MOST} ms at most, or the server",
            "a packet number of 2^28 - 4096 or more | PROTOCOL",
            "stop below 2^28 - 4096",
            f"to {sent.IN_FLIGHT_MOST} packets in flight; 8.",
            f"and {frame.ACK_BYTES_MAX * 8} before it",
            f"ignores an ACK {sent.NUMBERS_REMEMBERED} or more below",
            f"at most {sent.IN_FLIGHT_MOST} packets in flight",
            f"4 variance and {rtt.VARIANCE_MIN // 1000} ms + ack delay, "
            f"at least {rtt.RTO_MIN // 1000} ms",
            f"when a packet {sent.THRESHOLD_FIRST} numbers later is acknowledged",
            f"latest round trip, at least {rtt.LOSS_DELAY_MIN // 1000} ms",
            f"{sent.THRESHOLD_MOST} at most, for {duration(sent.THRESHOLD_LIFE)}",
            f"is {congestion.WINDOW_FIRST} packets of the MTU at first and stays between "
            f"{congestion.WINDOW_LEAST} and {congestion.WINDOW_MOST}",
            f"over some {congestion.LOSS_MEMORY}, the first {congestion.LOSS_PRIOR} on credit) "
            f"is above {congestion.HEAVY_LOSS:.0%}".replace("%", " %"),
            f"below {congestion.FLOOR_RATE // 1024} KiB/s",
            f"{congestion.BURST} packets may leave at once",
            f"more than {redundancy.LOSS_LEAST:.0%}".replace("%", " %"),
            f"({redundancy.SIZE_MOST} bytes at most)",
            f"twice from {redundancy.LOSS_TWICE:.0%}".replace("%", " %"),
            f"If of {redundancy.TRIAL} such copies",
            f"there are none for {duration(redundancy.REST)}",
            f"At most {outgoing.QUEUE_FRAMES} frames and {outgoing.QUEUE_BYTES // mebibyte} MiB",
            f"above {channel.ReassemblyBudget(udp_server.REASSEMBLY_MOST).begin // mebibyte} MiB",
            f"above {udp_server.REASSEMBLY_MOST // mebibyte} MiB",
        ):
            self.assertIn(words, text)

    def test_formulasDiffer(self) -> None:
        """
        The factors in the text are those by which the code computes.
        """
        text = prose("Reliable UDP")
        round_trip = rtt.RoundTrip(100_000_000, 0)
        round_trip.sample(1_000_000)
        backed_off = round_trip.timeout(1) / round_trip.timeout(0)
        self.assertIn(f"times {backed_off:g} for each time it expired", text)
        self.assertEqual(round_trip.loss_delay() * 8, 9 * 1_000_000)
        self.assertIn("it is older than 9/8 of the greater of smoothed and latest", text)
        self.assertEqual(rtt.RoundTrip(1_000_000, 0).timeout(5), 1_000_000)
        self.assertIn("before any sample, the retry interval", text)

        round_trip = rtt.RoundTrip(1_000_000, 0)
        round_trip.sample(20_000)
        round_trip.smoothed = 35_000
        self.assertFalse(round_trip.inflated())
        round_trip.smoothed += 1
        self.assertTrue(round_trip.inflated())
        self.assertIn("above 1.25 times the smallest sample + 10 ms", text)
        window = congestion.Congestion(1200, round_trip)
        before = window.window
        window.lost(0, 1)
        self.assertIn(f"{window.window / before:g} of the window, once a round trip", text)
