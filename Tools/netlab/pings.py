#!/usr/bin/env python3
"""The least round trip of pings that only kernels see: the answer by the other kernel, the arrival by this one's clock."""

import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
PACKET_BYTES = 65  # on the wire, like one of weft's echoes


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def least_round_trip(host, count, interval):
    """The least of so many round trips in seconds, with pauses of `interval` seconds; infinite without any answer."""
    least = float("inf")
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pings:
        pings.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        pings.connect((socket.gethostbyname(host), 0))
        pings.settimeout(1)
        for number in range(count):
            body = struct.pack("!HH", 7, number) + bytes(PACKET_BYTES - 20 - 8)
            request = struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body)) + body
            sent = time.clock_gettime(time.CLOCK_REALTIME)
            pings.send(request)
            try:
                while True:
                    answer, notes, _, _ = pings.recvmsg(200, 200)
                    if answer[20] == 0 and struct.unpack_from("!H", answer, 26)[0] == number:
                        break
            except TimeoutError:
                continue
            (seconds, nanoseconds), = [struct.unpack_from("qq", note[2]) for note in notes]
            least = min(least, seconds + nanoseconds * 1e-9 - sent)
            time.sleep(interval)
    return least


if __name__ == "__main__":
    print(least_round_trip(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
