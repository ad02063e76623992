internal import NIOCore
internal import Primitives

/// The one timer of a shell on an event loop: set to the earliest deadline, moved without waking too often. For use on
/// that loop only.
final class LoopTimer {
    private let eventLoop: any EventLoop
    private var scheduled: (callback: NIOScheduledCallback, at: Instant)?
    /// What to do when the deadline has come.
    var action: (() -> Void)?

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Wakes at the deadline; an earlier alarm that is already set stays, and finds nothing to do.
    func set(_ deadline: Instant?) {
        guard let deadline, action != nil else { return }
        if let scheduled {
            guard deadline < scheduled.at else { return }
            scheduled.callback.cancel()
        }
        let relay = Relay(timer: self)
        guard let callback = try? eventLoop.assumeIsolated().scheduleCallback(at: deadline.deadline, handler: relay)
        else { return }
        scheduled = (callback, deadline)
    }

    func cancel() {
        scheduled?.callback.cancel()
        scheduled = nil
    }

    private func fire() {
        scheduled = nil
        action?()
    }

    private struct Relay: NIOScheduledCallbackHandler {
        let timer: LoopTimer

        func handleScheduledCallback(eventLoop: some EventLoop) { timer.fire() }
    }
}
