internal import NIOCore
internal import Primitives

#if canImport(Glibc)
    internal import Glibc
#endif

/// Options of stream sockets.
enum SocketTuning {
    /// Fixed, because NIO's adaptive sizes start small; larger ones measured no faster.
    private static let receiveBuffer = 256 << 10
    private static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 512 << 10, high: 1 << 20)
    /// Under emulation little may hide in the kernel, where it would escape the emulated rates.
    private static let shapedSocketBuffer = 256 << 10
    /// Unacknowledged data for so long means that the other side is gone, in milliseconds.
    private static let userTimeout = 20_000

    static func apply(to channel: any Channel, remote: NetworkAddress, isShaped: Bool) throws {
        guard let options = channel.syncOptions else { return }
        try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
        try options.setOption(.writeBufferWaterMark, value: waterMark)
        try options.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: receiveBuffer))
        if isShaped {
            try options.setOption(.socketOption(.so_rcvbuf), value: shapedSocketBuffer)
            try options.setOption(.socketOption(.so_sndbuf), value: shapedSocketBuffer)
        }
        #if os(Linux)
            try? options.setOption(
                .tcpOption(NIOBSDSocket.Option(rawValue: CInt(TCP_USER_TIMEOUT))), value: userTimeout)
            setCongestionControl(of: channel, isNear: remote.isLoopback || remote.isPrivate)
        #endif
    }

    #if os(Linux)
        /// CUBIC on loopback and LAN (measured 1.4 times BBR there), BBR on long paths where the kernel has it; the
        /// system's choice if it has not.
        private static func setCongestionControl(of channel: any Channel, isNear: Bool) {
            guard let provider = channel as? any SocketOptionProvider else { return }
            let name = Array((isNear ? "cubic" : "bbr").utf8)
            var padded: (UInt64) = 0
            withUnsafeMutableBytes(of: &padded) { $0.copyBytes(from: name) }
            provider.unsafeSetSocketOption(
                level: NIOBSDSocket.OptionLevel(rawValue: CInt(IPPROTO_TCP)),
                name: NIOBSDSocket.Option(rawValue: CInt(TCP_CONGESTION)), value: padded
            ).whenFailure { _ in }
        }
    #endif
}

/// glibc gives large freed buffers back to the kernel and faults them in again; measured to halve the rate of streams
/// with large messages.
enum MemoryTuning {
    private static let applied: Void = {
        #if canImport(Glibc)
            // The module map of glibc leaves malloc.h out, so the function is looked up by name; values from malloc.h.
            guard let symbol = dlsym(nil, "mallopt") else { return }
            let mallopt = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
            let (trimThreshold, topPad, mmapThreshold): (CInt, CInt, CInt) = (-1, -2, -3)
            _ = mallopt(mmapThreshold, 32 << 20)
            _ = mallopt(trimThreshold, 512 << 20)
            _ = mallopt(topPad, 16 << 20)
        #endif
    }()

    /// Sets the thresholds, once a process.
    static func apply() { _ = applied }
}
