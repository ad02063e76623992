internal import CTimestamps
internal import NIOCore
internal import Primitives

/// A UDP port whose datagrams come with the time at which the kernel got them.
///
/// A packet train over a fast link is a matter of microseconds, and a process is woken up, delayed and preempted by more
/// than that. NIO owns the descriptor, waits for it and reads the first datagram of a turn; the rest is read here, because
/// NIO would pass them on without their times. One port, one loop, no thread and no buffer more.
struct TimedSocket {
    /// Datagrams read in one turn, so that timers and sends have theirs.
    private static let datagramsPerTurn = 64
    /// An older stamp is not believed: somebody has set the clock.
    private static let oldest: Duration = .seconds(2)

    private let descriptor: CInt

    /// Opens a port. Throws what the system says, as `IOError`.
    init(boundTo address: NetworkAddress, bufferBytes: Int) throws {
        let bytes = Array(address.addressBytes)
        let packed = address.isIPv4 ? Array(bytes[12...]) : bytes
        let opened = weft_datagram_open(packed, packed.count, address.port, CInt(clamping: bufferBytes))
        guard opened >= 0 else { throw IOError(errnoCode: -opened, reason: "cannot listen on \(address)") }
        descriptor = opened
    }

    /// The descriptor, for the channel that will own and close it.
    var handle: CInt { descriptor }

    /// When the datagram that was read last had arrived, on the monotonic clock; the present if the system does not say.
    private func arrival(offset: Int64) -> Instant {
        let now = MonotonicClock.now
        let stamp = weft_datagram_arrival(descriptor)
        guard stamp > 0 else { return now }
        let arrival = Instant(nanoseconds: stamp &+ offset)
        return arrival <= now && arrival > now + (.zero - Self.oldest) ? arrival : now
    }

    /// Sends equal datagrams to one address, back to back, as far as the kernel takes them in bulk: how many of them. A packet
    /// train for a fast link has to leave faster than the link, on a busy machine too.
    func sendInBulk(_ datagrams: ArraySlice<[UInt8]>, to address: NetworkAddress, isIPv6Port: Bool) -> Int {
        guard let size = datagrams.first?.count, size > 0, isIPv6Port || address.isIPv4 else { return 0 }
        let bytes = address.addressBytes
        let packed = isIPv6Port ? bytes : Array(bytes[12...])
        let batch = min(65_000 / size, 64)
        var start = datagrams.startIndex
        while start < datagrams.endIndex {
            let end = min(start + batch, datagrams.endIndex)
            var joined: [UInt8] = []
            joined.reserveCapacity((end - start) * size)
            for datagram in datagrams[start..<end] { joined += datagram }
            guard
                weft_datagram_send(
                    descriptor, joined, joined.count, UInt16(clamping: size), packed, packed.count, address.port) == 0
            else { break }
            start = end
        }
        return start - datagrams.startIndex
    }

    /// Tells when the datagram that NIO has just read had arrived, then reads the others that are there. Stops early if
    /// `isOpen` says so, because a handler may close the port.
    func drain(
        slotBytes: Int, first: (Instant) -> Void, isOpen: () -> Bool,
        next: ([UInt8], NetworkAddress, Instant) -> Void
    ) {
        let offset = weft_clock_offset()
        first(arrival(offset: offset))
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: slotBytes) { slot in
            var source = weft_source()
            for _ in 1..<Self.datagramsPerTurn where isOpen() {
                let length = weft_datagram_receive(descriptor, slot.baseAddress, slot.count, &source)
                guard length >= 0 else { return }
                let address = NetworkAddress(high: source.high, low: source.low, port: source.port)
                next(Array(slot[..<length]), address, arrival(offset: offset))
            }
        }
    }
}
