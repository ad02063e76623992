internal import NIOCore
internal import Noise
internal import Primitives

/// The dialling side until the welcome has come; then a `StreamHandler` takes its place.
final class DiallingHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var dialler: StreamDialler?
    private let makeHandler: (StreamKeys) -> StreamHandler
    private let done: EventLoopPromise<Void>
    private var received = ByteBuffer()

    /// `done` succeeds when the stream is open, and fails when the connection ends before.
    init(
        dialler: consuming StreamDialler, done: EventLoopPromise<Void>,
        makeHandler: @escaping (StreamKeys) -> StreamHandler
    ) {
        self.dialler = consume dialler
        self.done = done
        self.makeHandler = makeHandler
    }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { sendHello(context) } }

    func channelActive(context: ChannelHandlerContext) { sendHello(context) }

    private func sendHello(_ context: ChannelHandlerContext) {
        guard let hello = dialler?.hello else { return }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: hello)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        guard let kind: UInt8 = received.getInteger(at: received.readerIndex),
            let welcome = received.readBytes(length: StreamMessage.answerByteCount(kind: kind)),
            let dialler = dialler.take()
        else { return }
        do {
            let keys = try dialler.finish(welcome: welcome)
            try StreamOpening.replace(self, by: makeHandler(keys), rest: received, context)
            done.succeed(())
        } catch {
            done.fail(error)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        done.fail(ChannelError.eof)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        done.fail(error)
        context.close(promise: nil)
    }
}

/// The answering side until a hello has come. A connection that is not from the swarm is closed without a byte.
final class AnsweringHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ([UInt8]) -> (reply: [UInt8], handler: StreamHandler?)?
    private let timer: LoopTimer
    private let timeout: Duration
    private var release: (() -> Void)?
    private var received = ByteBuffer()

    /// `answer` judges a hello, and yields no handler if the reply says why there is no stream; `release` is called once when the connection is no longer a stranger's.
    init(
        eventLoop: any EventLoop, timeout: Duration, release: @escaping () -> Void,
        answer: @escaping ([UInt8]) -> (reply: [UInt8], handler: StreamHandler?)?
    ) {
        self.answer = answer
        self.timeout = timeout
        self.release = release
        timer = LoopTimer(eventLoop: eventLoop)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer.action = { channel.close(promise: nil) }
        timer.set(MonotonicClock.now + timeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func end() {
        timer.cancel()
        timer.action = nil
        release.take()?()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        guard let hello = received.readBytes(length: StreamMessage.helloByteCount) else { return }
        guard let (reply, handler) = answer(hello) else { return context.close(promise: nil) }
        let sent = context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: reply)))
        guard let handler else {
            let channel = context.channel
            return sent.whenComplete { _ in channel.close(promise: nil) }
        }
        do { try StreamOpening.replace(self, by: handler, rest: received, context) } catch {
            context.close(promise: nil)
        }
    }
}

private enum StreamOpening {
    /// Puts the stream's handler where the handshake's was, and gives it what has already been read.
    static func replace(
        _ old: any RemovableChannelHandler & ChannelHandler, by new: StreamHandler, rest: ByteBuffer,
        _ context: ChannelHandlerContext
    ) throws {
        let pipeline = context.pipeline.syncOperations
        try pipeline.addHandler(new, position: .after(old))
        if rest.readableBytes > 0 { context.fireChannelRead(NIOAny(rest)) }
        _ = pipeline.removeHandler(old)
    }
}
