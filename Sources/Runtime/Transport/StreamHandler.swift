internal import NIOCore
internal import Noise
internal import Primitives
internal import Wire

/// One TCP connection after its handshake: cuts messages into sealed records and puts records together again.
///
/// Sealing happens on the event loop that writes: on other threads it measured slower. Received bytes are opened straight
/// from the buffer of the read; only a record that straddles two reads is copied.
final class StreamHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let link: StreamLink
    private let keys: StreamKeys
    private let isDialledByPeer: Bool
    private let idleAfter: Duration
    private let shaper: Shaper?
    private let onClosed: (StreamConnection, OutgoingMessage?) -> Void

    private var context: ChannelHandlerContext?
    private var connection: StreamConnection?
    private var current: OutgoingMessage?
    private var currentOffset = 0
    private let gateTimer: LoopTimer
    private let idleTimer: LoopTimer
    private var lastActivity = MonotonicClock.now

    private var straddle = ByteBuffer()
    private var assembling = ByteBuffer()
    private var isAssembling = false
    private var lastMessageBytes = 0
    private var isPaused = false
    private var stalled: [ByteBuffer] = []
    private var wantsRead = false
    private var isOver = false

    /// Records between two flushes: fewer system calls than one each, and soon enough on the wire.
    private static let recordsPerFlush = 4
    /// Shaped streams write small records, so that datagrams find room between them.
    private static let shapedRecordBytes = 16_384

    init(
        link: StreamLink, keys: StreamKeys, isDialledByPeer: Bool, idleAfter: Duration, shaper: Shaper?,
        eventLoop: any EventLoop, onClosed: @escaping (StreamConnection, OutgoingMessage?) -> Void
    ) {
        self.link = link
        self.keys = keys
        self.isDialledByPeer = isDialledByPeer
        self.idleAfter = idleAfter
        self.shaper = shaper
        self.onClosed = onClosed
        gateTimer = LoopTimer(eventLoop: eventLoop)
        idleTimer = LoopTimer(eventLoop: eventLoop)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let connection = StreamConnection(channel: context.channel, handler: self, isDialledByPeer: isDialledByPeer)
        self.connection = connection
        gateTimer.action = { [unowned self] in pump() }
        idleTimer.action = { [unowned self] in checkIdle() }
        idleTimer.set(lastActivity + idleAfter)
        link.established(connection)
    }

    func handlerRemoved(context: ChannelHandlerContext) { finish() }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func finish() {
        context = nil
        gateTimer.cancel()
        gateTimer.action = nil
        idleTimer.cancel()
        idleTimer.action = nil
        guard let connection = connection.take() else { return }
        onClosed(connection, current.take())
    }

    // MARK: Sending

    /// Writes records while the channel takes them.
    func pump() {
        guard let context, let connection, !isOver else { return }
        var unflushed = 0
        while context.channel.isWritable {
            if let gate = shaper?.streamGate(), gate > MonotonicClock.now {
                gateTimer.set(gate)
                break
            }
            if current == nil {
                current = link.nextMessage(for: connection)
                currentOffset = 0
            }
            guard let message = current, writeRecord(of: message, context) else { break }
            unflushed += 1
            if unflushed == Self.recordsPerFlush {
                context.flush()
                unflushed = 0
            }
        }
        if unflushed > 0 { context.flush() }
    }

    /// Writes the next record of a message; `false` if the connection is over.
    private func writeRecord(of message: OutgoingMessage, _ context: ChannelHandlerContext) -> Bool {
        let limit = shaper == nil ? Limits.recordBytes : Self.shapedRecordBytes
        let count = min(limit, message.body.readableBytes - currentOffset)
        let isLast = currentOffset + count == message.body.readableBytes
        var buffer = context.channel.allocator.buffer(capacity: count + RecordHeader.overheadBytes)
        do {
            try message.body.withUnsafeReadableBytes { bytes in
                try keys.sealer.seal(
                    UnsafeRawBufferPointer(rebasing: bytes[currentOffset..<(currentOffset + count)]),
                    kind: isLast ? .last : .part
                ) { buffer.writeBytes($0) }
            }
        } catch {
            close(context)
            return false
        }
        context.write(wrapOutboundOut(buffer), promise: nil)
        currentOffset += count
        lastActivity = MonotonicClock.now
        link.countSent(count, isLast: isLast)
        if isLast {
            current = nil
            message.finish(.success(()))
        }
        return true
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        pump()
        context.fireChannelWritabilityChanged()
    }

    /// The dialler closes what nobody has used for long.
    private func checkIdle() {
        guard let context else { return }
        let due = lastActivity + idleAfter
        guard due <= MonotonicClock.now, current == nil, link.isIdle else {
            return idleTimer.set(max(due, MonotonicClock.now + .seconds(1)))
        }
        if isDialledByPeer { return idleTimer.set(MonotonicClock.now + idleAfter) }
        var buffer = context.channel.allocator.buffer(capacity: RecordHeader.overheadBytes)
        let sealed: Void? = try? keys.sealer.seal(UnsafeRawBufferPointer(start: nil, count: 0), kind: .close) {
            buffer.writeBytes($0)
        }
        if sealed != nil { context.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }
        close(context)
    }

    private func close(_ context: ChannelHandlerContext) {
        isOver = true
        context.close(promise: nil)
    }

    // MARK: Receiving

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        lastActivity = MonotonicClock.now
        if isPaused { stalled.append(buffer) } else { process(buffer, context) }
    }

    func read(context: ChannelHandlerContext) {
        if isPaused { wantsRead = true } else { context.read() }
    }

    /// Goes on after the inbox was full.
    func resumeReading() {
        guard let context, isPaused, link.hasRoom else { return }
        isPaused = false
        let buffers = stalled
        stalled = []
        for (index, buffer) in buffers.enumerated() {
            process(buffer, context)
            if isPaused {
                stalled += buffers[(index + 1)...]
                return
            }
        }
        if wantsRead {
            wantsRead = false
            context.read()
        }
    }

    private func process(_ received: ByteBuffer, _ context: ChannelHandlerContext) {
        var buffer = received
        while !isOver, !isPaused {
            if straddle.readableBytes > 0 {
                fillStraddle(from: &buffer, upTo: RecordHeader.byteCount)
                guard let header = header(of: straddle, context) else { return }
                fillStraddle(from: &buffer, upTo: RecordHeader.byteCount + header.sealedByteCount)
                guard straddle.readableBytes == RecordHeader.byteCount + header.sealedByteCount else { return }
                open(&straddle, header, context)
                straddle.clear()
            } else {
                guard let header = header(of: buffer, context),
                    buffer.readableBytes >= RecordHeader.byteCount + header.sealedByteCount
                else {
                    straddle.writeBuffer(&buffer)
                    return
                }
                open(&buffer, header, context)
            }
        }
        if isPaused, buffer.readableBytes > 0 { stalled.insert(buffer, at: 0) }
    }

    private func fillStraddle(from buffer: inout ByteBuffer, upTo count: Int) {
        let missing = count - straddle.readableBytes
        guard missing > 0, var part = buffer.readSlice(length: min(missing, buffer.readableBytes)) else { return }
        straddle.writeBuffer(&part)
    }

    /// The header in front of the buffer; `nil` if it is not complete, or if it is wrong and the connection over.
    private func header(of buffer: ByteBuffer, _ context: ChannelHandlerContext) -> RecordHeader? {
        guard
            let word = buffer.getInteger(at: buffer.readerIndex, endianness: .little, as: UInt32.self)
        else { return nil }
        guard let header = RecordHeader(word: word) else {
            close(context)
            return nil
        }
        return header
    }

    /// Opens the record in front of the buffer and moves past it.
    private func open(_ buffer: inout ByteBuffer, _ header: RecordHeader, _ context: ChannelHandlerContext) {
        let length = RecordHeader.byteCount + header.sealedByteCount
        guard assembling.readableBytes + header.plaintextByteCount <= Limits.streamMessageBytes else {
            return close(context)
        }
        if !isAssembling {
            // Messages of one class tend to be of one size; room for another like the last saves moving this one.
            let capacity =
                header.kind == .last ? header.plaintextByteCount : max(lastMessageBytes, 4 * Limits.recordBytes)
            assembling = context.channel.allocator.buffer(capacity: capacity)
        }
        do {
            try buffer.withUnsafeReadableBytes { bytes in
                try keys.opener.open(
                    UnsafeRawBufferPointer(rebasing: bytes[RecordHeader.byteCount..<length]), header: header
                ) { assembling.writeBytes($0) }
            }
        } catch { return close(context) }
        buffer.moveReaderIndex(forwardBy: length)
        switch header.kind {
        case .part: isAssembling = true
        case .last:
            isAssembling = false
            let message = assembling
            assembling = ByteBuffer()
            lastMessageBytes = message.readableBytes
            if !link.deliver(message) { isPaused = true }
            // Room may have come between the two: then nobody else will wake us.
            if isPaused, link.hasRoom { isPaused = false }
        case .keepalive: break
        case .close: close(context)
        }
    }
}
