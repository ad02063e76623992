internal import NIOCore
internal import Primitives

/// Emulates the network under one TCP connection: demo and tests only.
///
/// Every write becomes a frame of length (4 bytes), arrival time and sender (`Shaper.stamp`, 10 bytes) and the bytes; the
/// receiver holds them until then, and until they are through its downlink.
final class ShapedStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let headerByteCount = 14
    private static let frameLimit = 1 << 20
    /// More than this is not taken from the socket: the bandwidth-delay product of a fast long path.
    private static let heldLimit = 4 << 20

    private let shaper: Shaper
    private var peer: Int?
    private let timer: LoopTimer
    private var context: ChannelHandlerContext?
    private var received = ByteBuffer()
    private var coming: [(arrivesAt: Instant, bytes: ByteBuffer)] = []
    private var inDownlink: [(deliveredAt: Instant, bytes: ByteBuffer)] = []
    private var heldBytes = 0
    private var wantsRead = false
    private var isEnded = false

    /// `peer` is the other side's place in the topology, if known; else the first frame tells.
    init(shaper: Shaper, peer: Int?, eventLoop: any EventLoop) {
        self.shaper = shaper
        self.peer = peer
        timer = LoopTimer(eventLoop: eventLoop)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        timer.action = { [unowned self] in release() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        timer.cancel()
        timer.action = nil
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        let arrival = shaper.sendStream(bytes.readableBytes, to: peer, at: MonotonicClock.now)
        var frame = context.channel.allocator.buffer(capacity: Self.headerByteCount + bytes.readableBytes)
        frame.writeInteger(UInt32(bytes.readableBytes), endianness: .little)
        frame.writeBytes(Shaper.stamp(arrival, shaper.index))
        frame.writeBuffer(&bytes)
        context.write(wrapOutboundOut(frame), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        while let length = received.getInteger(at: received.readerIndex, endianness: .little, as: UInt32.self) {
            guard length <= Self.frameLimit else { return context.close(promise: nil) }
            guard received.readableBytes >= Self.headerByteCount + Int(length),
                let header = received.readBytes(length: Self.headerByteCount),
                let (arrival, sender) = Shaper.readStamp(header[4...]),
                let bytes = received.readSlice(length: Int(length))
            else { break }
            if peer == nil { peer = sender }
            coming.append((arrival, bytes))
            heldBytes += bytes.readableBytes
        }
        received.discardReadBytes()
        release()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Nothing was handed on in this turn; asking for more goes on by `read`.
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if heldBytes < Self.heldLimit { context.read() } else { wantsRead = true }
    }

    private func release() {
        guard let context else { return }
        let now = MonotonicClock.now
        let arrived = coming.prefix { $0.arrivesAt <= now }.count
        for (arrival, bytes) in coming.prefix(arrived) {
            let delivered = shaper.throughDownlink(bytes.readableBytes, arrived: arrival, mayBeLost: false) ?? arrival
            inDownlink.append((delivered, bytes))
        }
        coming.removeFirst(arrived)
        let count = inDownlink.prefix { $0.deliveredAt <= now }.count
        let delivered = inDownlink.prefix(count)
        inDownlink.removeFirst(count)
        for (_, bytes) in delivered {
            heldBytes -= bytes.readableBytes
            context.fireChannelRead(wrapInboundOut(bytes))
        }
        if count > 0 { context.fireChannelReadComplete() }
        if wantsRead, heldBytes < Self.heldLimit {
            wantsRead = false
            context.read()
        }
        timer.set([coming.first?.arrivesAt, inDownlink.first?.deliveredAt].compactMap { $0 }.min())
    }
}
